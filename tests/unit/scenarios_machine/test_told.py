"""Of what the API tells, each change becomes one event."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from scenarios.runner.machine.told import Told, owned_before_acting
from scenarios.runner.stage import Answer
from scenarios.runner.trace import Event, Origin


class Api:
    """Answers from lists; `away`: not at all."""

    def __init__(self) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.away = False

    async def call(self, method: str, path: str) -> Answer:
        if self.away:
            raise httpx.ConnectError("nobody is there")
        return Answer(status=200, body={"items": self.lists.get(path.partition("?")[0], [])})


def look(told: Told) -> list[tuple[str, str, str, str]]:
    events: list[Event] = asyncio.run(told.since(("n1",), 9.0))
    return [
        (one.source, one.name, one.node, str(one.detail.get("state", one.detail.get("owner", ""))))
        for one in events
    ]


def test_each_change_is_told_once() -> None:
    api = Api()
    told = Told(api, 0.0)
    api.lists["/v1/nodes"] = [{"name": "n1", "state": "available", "owner": None, "fence": 0}]
    assert look(told) == [("node", "state", "n1", "available"), ("lease", "owner", "n1", "")]
    assert look(told) == []
    api.lists["/v1/nodes"] = [{"name": "n1", "state": "deploying", "owner": "ch1", "fence": 1}]
    api.lists["/v1/instances"] = [{"name": "web", "state": "requested", "node": "n1"}]
    assert look(told) == [
        ("node", "state", "n1", "deploying"),
        ("lease", "owner", "n1", "ch1"),
        ("instance", "state", "n1", "requested"),
    ]


def test_steps_and_agents_are_told_with_their_times() -> None:
    api = Api()
    at = "1970-01-01T00:00:05+00:00"
    api.lists["/v1/nodes/n1/events"] = [
        {"id": 4, "name": "step.done", "step": "wipe", "text": "clean", "at": at},
        {"id": 5, "name": "agent.hello", "step": "", "text": "", "at": at},
        {"id": 6, "name": "http.sent", "step": "", "text": "", "at": at},
    ]
    events = asyncio.run(Told(api, 2.0).since(("n1",), 9.0))
    assert [(one.source, one.name, one.t_s) for one in events] == [
        ("step", "step.done", 3.0),
        ("agent", "hello", 3.0),
    ]


def test_nothing_is_told_while_nobody_answers_and_nothing_is_lost() -> None:
    api = Api()
    api.lists["/v1/nodes"] = [{"name": "n1", "state": "active", "owner": "ch1", "fence": 1}]
    told = Told(api, 0.0)
    api.away = True
    assert look(told) == []
    api.away = False
    assert len(look(told)) == 2


def test_an_owner_that_has_acted_owned_its_node_before() -> None:
    def event(t_s: float, source: str, node: str, sender: str = "", **detail: str) -> Event:
        return Event(
            t_s=t_s, origin=Origin.DEVICE, source=source, name="", node=node, sender=sender, detail=detail
        )

    devices = [
        *(event(7.0, "dhcp", "n1", "ch2"), event(6.0, "bmc", "n1", "ch2"), event(3.0, "bmc", "n1", "ch1")),
        event(2.0, "dhcp", "n3"),
    ]
    told = [
        *(event(9.0, "lease", "n1", owner="ch2"), event(9.0, "lease", "n2", owner="ch2")),
        *(event(9.0, "lease", "n3", owner=""), event(9.0, "node", "n1", state="active")),
    ]
    assert [one.t_s for one in owned_before_acting(told, devices)] == [5.999, 9.0, 9.0, 9.0]

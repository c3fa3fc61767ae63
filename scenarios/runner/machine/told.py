"""What the provisioner tells by its REST API of nodes and instances, as events: each change once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import httpx

from scenarios.runner.stage import Answer
from scenarios.runner.trace import Event, Origin

INSTANT_S = 0.001
MOST = 1000
"""What one answer lists at most."""


class Api(Protocol):
    async def call(self, method: str, path: str) -> Answer:
        """Raises httpx.HTTPError or OSError while nobody answers."""
        ...


class Told:
    """begun_at: Unix time at which the story began. While the API doesn't answer (it was killed, or is
    frozen), nothing is told: later."""

    def __init__(self, api: Api, begun_at: float) -> None:
        self._api = api
        self._begun_at = begun_at
        self._last_event: dict[str, int] = {}  # of each node's timeline
        self._known: dict[tuple[str, str, str], str] = {}  # source, name, subject → what it was

    async def since(self, nodes: tuple[str, ...], now_s: float) -> list[Event]:
        """All that is new. now_s: when it is looked at: states don't say since when they are so."""
        events: list[Event] = []
        for node in nodes:
            events += await self._timeline(node)
        # Whoever takes work up again owned the node before, also if that was seen later.
        resumed_s = {event.node: event.t_s for event in reversed(events) if event.name == "step.resumed"}
        for view in await self._listed("/v1/nodes"):
            events += self._node(view, min(now_s, resumed_s.get(view["name"], now_s) - INSTANT_S))
        for view in await self._listed("/v1/instances", "deleted=true&"):
            events += self._instance(view, now_s)
        return events

    async def _timeline(self, node: str) -> list[Event]:
        after = self._last_event.get(node, 0)
        items = await self._listed(f"/v1/nodes/{node}/events", f"after={after}&")
        if items:
            self._last_event[node] = items[-1]["id"]
        return [event for item in items if (event := self._step_or_agent(node, item)) is not None]

    async def _listed(self, path: str, query: str = "") -> list[dict[str, Any]]:
        try:
            answer = await self._api.call("GET", f"{path}?{query}limit={MOST}")
        except (httpx.HTTPError, OSError):
            return []
        items: list[dict[str, Any]] = answer.body["items"] if answer.status == 200 else []
        return items

    def _step_or_agent(self, node: str, item: Mapping[str, Any]) -> Event | None:
        """What else a timeline tells, the devices tell themselves."""
        family, _, rest = str(item["name"]).partition(".")
        at_s = datetime.fromisoformat(item["at"]).timestamp() - self._begun_at
        match family:
            case "step":
                return _event(at_s, "step", item["name"], node, step=item["step"], text=item["text"])
            case "agent":
                return _event(at_s, "agent", rest, node)
        return None

    def _node(self, view: Mapping[str, Any], now_s: float) -> Iterator[Event]:
        name, state, owner = view["name"], view["state"], view["owner"] or ""
        if self._is_new("node", "state", name, state):
            yield _event(now_s, "node", "state", name, state=state)
        if self._is_new("lease", "owner", name, owner):
            yield _event(now_s, "lease", "owner", name, owner=owner, fence=view["fence"])

    def _instance(self, view: Mapping[str, Any], now_s: float) -> Iterator[Event]:
        name, state = view["name"], view["state"]
        if self._is_new("instance", "state", name, state):
            yield _event(now_s, "instance", "state", view["node"] or "", instance=name, state=state)

    def _is_new(self, source: str, name: str, subject: str, value: str) -> bool:
        before = self._known.get((source, name, subject))
        self._known[(source, name, subject)] = value
        return before != value


def owned_before_acting(told: Iterable[Event], devices: Iterable[Event]) -> Iterator[Event]:
    """Owners are told by who looks, and that is later than devices tell what a new one did: it owned the node
    before that."""
    acted_s: dict[tuple[str, str], float] = {}
    for event in devices:
        key = (event.node, event.sender)
        acted_s[key] = min(event.t_s, acted_s.get(key, event.t_s))
    for event in told:
        owner = event.detail["owner"] if event.source == "lease" else ""
        first_s = acted_s.get((event.node, owner))
        if owner and first_s is not None:
            event = replace(event, t_s=min(event.t_s, first_s - INSTANT_S))
        yield event


def _event(t_s: float, source: str, name: str, node: str, **detail: Any) -> Event:
    return Event(t_s=t_s, origin=Origin.PROVISIONER, source=source, name=name, node=node, detail=detail)

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from provisioner.compute import evidence as evidence_module
from provisioner.compute.evidence import Evidence
from provisioner.core.errors import TransientError
from provisioner.core.model import Port, TimelineEvent
from provisioner.protocols.events import WireEvent
from provisioner.protocols.store import Tx
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock
from tests.unit.records import node

PORT = Port(id="52:54:00:77:00:01", node_id="node-1", address="10.77.0.101")


def test_what_is_heard_of_a_mac_an_address_or_a_node_reaches_its_timeline() -> None:
    async def story() -> list[TimelineEvent]:
        clock = JumpingClock()
        store = MemoryStore(clock.wall)
        evidence = Evidence(store, JumpingClock())
        evidence.know(node(instance_id="i1"), [PORT])
        recording = asyncio.create_task(evidence.record())
        evidence(WireEvent(source="dhcp", name="dhcp.discover", mac=PORT.id))
        evidence(WireEvent(source="http", name="http.sent", address=PORT.address, detail={"file": "kernel"}))
        evidence(WireEvent(source="agent", name="agent.hello", node_id="node-1"))
        evidence(WireEvent(source="dhcp", name="dhcp.discover", mac="00:00:00:00:00:99"))
        while not (found := await store.transact(lambda tx: tx.find(TimelineEvent))):
            await asyncio.sleep(0)
        recording.cancel()
        return found

    found = asyncio.run(story())
    assert [event.name for event in found] == ["dhcp.discover", "http.sent", "agent.hello"]
    assert {event.node_id for event in found} == {"node-1"}
    assert {event.instance_id for event in found} == {"i1"}


@pytest.mark.parametrize("ended", [False, True], ids=["away", "ended meanwhile"])
def test_what_is_heard_while_the_store_is_away_is_stored_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    monkeypatch.setattr(evidence_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(evidence_module, "MAX_PENDING", 3)

    async def story() -> list[str]:
        store = MemoryStore(JumpingClock().wall)
        evidence, asked, transact = Evidence(store, JumpingClock()), asyncio.Event(), store.transact

        async def away(work: Callable[[Tx], Any]) -> Any:
            asked.set()
            if ended:
                await asyncio.Event().wait()
            raise TransientError("use the database", answer="it is away")

        monkeypatch.setattr(store, "transact", away)
        recording = asyncio.create_task(evidence.record())
        for name in ("first", "second"):
            evidence(WireEvent(source="dhcp", name=name, node_id="node-1"))
        await asked.wait()
        for name in ("third", "fourth"):
            evidence(WireEvent(source="dhcp", name=name, node_id="node-1"))
        if ended:  # as by the end of the lease
            recording.cancel()
            await asyncio.wait([recording])
            recording = asyncio.create_task(evidence.record())
        monkeypatch.setattr(store, "transact", transact)
        while not (found := await store.transact(lambda tx: tx.find(TimelineEvent))):
            await asyncio.sleep(0.001)
        recording.cancel()
        return [event.name for event in found]

    assert asyncio.run(story()) == ["second", "third", "fourth"], (
        "in their order, as many as there is room for"
    )


def test_whoever_waits_for_a_node_is_woken_by_its_news_and_only_by_them() -> None:
    async def story() -> None:
        evidence = Evidence(MemoryStore(JumpingClock().wall), JumpingClock())
        evidence.know(node(), [PORT])
        evidence.know(node(id="node-2"), [Port(id="b", node_id="node-2", address="10.77.0.102")])
        mailbox = evidence.mailbox("node-1")
        waiting = asyncio.create_task(mailbox.news(3600))
        evidence(WireEvent(source="dhcp", name="dhcp.ack", mac="b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        evidence(WireEvent(source="dhcp", name="dhcp.ack", mac=PORT.id))
        await waiting
        heard = mailbox.last("dhcp.ack")
        assert heard is not None
        mailbox.forget()
        assert mailbox.last("dhcp.ack") is None

    asyncio.run(story())


def test_a_forgotten_node_is_unknown_again() -> None:
    evidence = Evidence(MemoryStore(JumpingClock().wall), JumpingClock())
    evidence.know(node(), [PORT])
    evidence.forget("node-1")
    evidence(WireEvent(source="dhcp", name="dhcp.ack", mac=PORT.id))
    assert not evidence.mailbox("node-1").heard

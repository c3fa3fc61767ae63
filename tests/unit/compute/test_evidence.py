from __future__ import annotations

import asyncio

from provisioner.compute.evidence import Evidence
from provisioner.core.model import Port, TimelineEvent
from provisioner.protocols.events import WireEvent
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock
from tests.unit.records import node

PORT = Port(id="52:54:00:77:00:01", node_id="node-1", address="10.77.0.101")


def test_what_is_heard_of_a_mac_an_address_or_a_node_reaches_its_timeline() -> None:
    async def story() -> list[TimelineEvent]:
        clock = JumpingClock()
        store = MemoryStore(clock.wall)
        evidence = Evidence(store)
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


def test_whoever_waits_for_a_node_is_woken_by_its_news_and_only_by_them() -> None:
    async def story() -> None:
        evidence = Evidence(MemoryStore(JumpingClock().wall))
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
    evidence = Evidence(MemoryStore(JumpingClock().wall))
    evidence.know(node(), [PORT])
    evidence.forget("node-1")
    evidence(WireEvent(source="dhcp", name="dhcp.ack", mac=PORT.id))
    assert not evidence.mailbox("node-1").heard

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioner.compute.host import ComputeHost
from provisioner.core.errors import PermanentError
from provisioner.core.model import Node, NodeRequest, RequestState, Work
from provisioner.core.states import PowerState, ProvisionState
from provisioner.drivers.fake import FakeRack, FakeRoots
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.power import PowerControl
from provisioner.protocols.store import Tx
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld, QuickClock, play
from tests.unit.compute.one_server import OneServer


class NotingRack(FakeRack):
    """Says in which order it was told of nodes."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(lambda event: None, world.ids)
        self.told: list[str] = []

    def publish(self, entry: BootEntry) -> None:
        self.told.append(f"publish {entry.node_id}")
        super().publish(entry)

    def withdraw(self, node_id: str) -> None:
        self.told.append(f"withdraw {node_id}")
        super().withdraw(node_id)


def test_nodes_are_published_and_withdrawn_in_one_order_whatever_the_hash_seed(tmp_path: Path) -> None:
    """The order of a set of names differs from process to process: 12! ways to be wrong."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        rack = world.rack = NotingRack(world)
        ids = [f"node-{number:02}" for number in range(1, 13)]
        nodes = [records.node(id=id, name=f"n-{id}", owner=None) for id in ids]
        await world.store.transact(lambda tx: tx.insert(*reversed(nodes)))

        def remove(tx: Tx) -> None:
            for id in reversed(ids):
                tx.delete(Node, id)
            tx.notify("work")

        world.start()
        try:
            await _until(lambda: len(rack.told) == 12)
            await world.store.transact(remove)
            await _until(lambda: len(rack.told) == 24)
        finally:
            await world.die()
        assert rack.told == [*(f"publish {id}" for id in ids), *(f"withdraw {id}" for id in ids)]

    asyncio.run(story())


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0.001)


def test_a_defect_in_one_node_s_driver_ends_neither_the_host_nor_another_s_deploy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of work, of an operator's request, and of the power that is asked for by itself."""

    async def story() -> None:
        world = FakeWorld(tmp_path, refresh_s=60.0)
        power, met = world.rack.power, set[str]()

        def broken(name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
            if name == "n3":
                return power(name, address, secret)
            met.add(name)
            raise RuntimeError("a driver that nobody has tried")

        monkeypatch.setattr(world.rack, "power", broken)
        work = Work(id="work-1", plan="enrol", step="verify_power", entered_at=records.NOW)
        await world.fill(state=ProvisionState.ENROLLING, work=work)
        await world.enrol(2, power_state=PowerState.OFF, maintenance=True)
        await world.enrol(3)
        at = records.NOW
        asked = NodeRequest(id="request-2", node_id="node-2", verb="power:on", created_at=at, updated_at=at)
        await world.store.transact(lambda tx: tx.insert(asked))

        async def told() -> bool:
            request = await world.store.transact(lambda tx: tx.get(NodeRequest, "request-2"))
            assert request is not None
            failed = request.state is RequestState.FAILED and "a defect of the provisioner" in request.answer
            return failed and (await world.node(2)).power_state is PowerState.UNKNOWN

        world.start()
        try:
            await world.ask()
            await world.becomes(ProvisionState.ACTIVE, 3)
            await world.until("the defect is told", told)
            assert met == {"n1", "n2"}
        finally:
            await world.die()

    asyncio.run(story())


def test_work_that_was_stopped_before_it_had_begun_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the end of a lease that has run out by the time it is had again: tasks that are cancelled before
    their first step never run, what they would do at their end neither."""
    begin, stopped = ComputeHost._start_worker, list[str]()

    def cut_short(host: ComputeHost, group: asyncio.TaskGroup, node_id: str) -> None:
        before = asyncio.all_tasks()
        begin(host, group, node_id)
        for task in asyncio.all_tasks() - before:
            if node_id not in stopped:
                stopped.append(node_id)
                task.cancel()

    monkeypatch.setattr(ComputeHost, "_start_worker", cut_short)

    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)

    play(tmp_path, story)
    assert stopped == ["node-1"]


def test_what_a_deploy_meets_at_the_end_of_its_host_s_lease_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a suspension: its programs are ended with the lease, and what was served takes its time to be
    withdrawn."""
    clock_s, make, withdraw = QuickClock.monotonic_s, FakeRoots.make, OneServer.withdraw
    publish = OneServer.publish
    suspended, worlds, without_lease = [0.0], list[FakeWorld](), list[str]()

    def alive() -> bool:
        return any(host._edges.lease.alive for world in worlds for host in world.hosts.values())

    monkeypatch.setattr(QuickClock, "monotonic_s", lambda clock: clock_s(clock) + suspended[0])

    async def cut_off(roots: FakeRoots, *arguments: Any, **options: Any) -> None:
        if not suspended[0]:
            suspended[0] = 2 * 3600.0
            await asyncio.sleep(0.2)
            raise PermanentError("unpack the image", answer="its file system came to an end")
        if not alive():
            without_lease.append("a root is made")
            raise PermanentError("unpack the image", answer="its program was ended")
        await make(roots, *arguments, **options)

    async def served(publisher: OneServer, *arguments: Any, **options: Any) -> Any:
        if not alive():
            without_lease.append("something is published")
        return await publish(publisher, *arguments, **options)

    async def slowly(publisher: OneServer, node_id: str, *, root: bool = True) -> None:
        if not root:
            await asyncio.sleep(0.4)
            if not alive() and any(host.ready.is_set() for host in worlds[0].hosts.values()):
                without_lease.append("the host says that it is ready")
        await withdraw(publisher, node_id, root=root)

    monkeypatch.setattr(FakeRoots, "make", cut_off)
    monkeypatch.setattr(OneServer, "withdraw", slowly)
    monkeypatch.setattr(OneServer, "publish", served)

    async def story(world: FakeWorld) -> None:
        worlds.append(world)
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        assert suspended[0] and not without_lease
        assert not [event for event in await world.events() if event.name == "step.failed"]

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)

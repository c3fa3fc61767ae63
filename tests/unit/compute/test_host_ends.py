"""A host that ends: what it serves is ended first, and then others have its nodes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.compute import publications
from provisioner.compute.devices import Device
from provisioner.compute.host import ComputeHost
from provisioner.compute.lease import LeaseKeeper
from provisioner.core.errors import PermanentError, TransientError
from provisioner.core.model import Host, NodeRequest
from provisioner.core.states import PowerState
from provisioner.drivers.fake import FakePublisher
from provisioner.protocols.power import PowerVerb
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld
from tests.unit.fakes import PowerDevice


def test_the_lease_is_given_back_when_nothing_is_served_any_more(tmp_path: Path) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()
        released = list[bool]()

        class Publisher(FakePublisher):
            async def withdraw(self, node_id: str, *, root: bool = True) -> None:
                row = await world.store.transact(lambda tx: tx.get(Host, "host"))
                assert row is not None
                released.append(row.released)

        host = ComputeHost(replace(world.edges(), publisher=Publisher(world.rack)))
        running = asyncio.create_task(host.run())
        await host.ready.wait()
        host.leave()
        await running
        row = await world.store.transact(lambda tx: tx.get(Host, "host"))
        assert row is not None
        assert row.released
        assert released == [False]

    asyncio.run(story())


@pytest.mark.parametrize("trouble", ["it fails", "it never ends"])
def test_a_lease_under_which_something_may_be_served_still_runs_out_by_itself(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gets the nodes of a lease that was given back begins at once."""
    monkeypatch.setattr(publications, "WITHDRAW_S", 0.05)

    class Stuck(FakePublisher):
        async def withdraw(self, node_id: str, *, root: bool = True) -> None:
            if trouble == "it never ends":
                await asyncio.Event().wait()
            raise PermanentError("have dnsmasq read its files again", answer="no answer")

    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()
        host = ComputeHost(replace(world.edges(), publisher=Stuck(world.rack)))
        running = asyncio.create_task(host.run())
        await host.ready.wait()
        host.leave()
        await running
        row = await world.store.transact(lambda tx: tx.get(Host, "host"))
        assert row is not None
        assert not row.released

    asyncio.run(story())


@pytest.mark.parametrize("lease_is_lost", [False, True])
def test_a_host_that_is_to_end_does_so_in_time_without_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lease_is_lost: bool
) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()
        lease = LeaseKeeper(
            world.store, world.clock, "host", 20.0 if lease_is_lost else 3600.0, holder="host"
        )
        host = ComputeHost(replace(world.edges(), lease=lease))
        running = asyncio.create_task(host.run())
        await host.ready.wait()

        async def away(work: object) -> object:
            raise TransientError("use the database", answer="it is away")

        monkeypatch.setattr(world.store, "transact", away)
        if lease_is_lost:
            while host.ready.is_set():
                await asyncio.sleep(0.001)
        host.leave()
        async with asyncio.timeout(10):
            await running

    asyncio.run(story())


class TakesItsTime(PowerDevice):
    """Told to switch, it says nothing for as long as it may."""

    longest_command_s = 30.0

    def __init__(self) -> None:
        super().__init__(PowerState.OFF)
        self.told = asyncio.Event()

    async def set_power(self, verb: PowerVerb) -> None:
        self.told.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("at_once", [False, True])
def test_the_lease_is_given_back_when_no_command_can_be_carried_out_any_more(
    tmp_path: Path, *, at_once: bool
) -> None:
    """What a device was told it does, whatever becomes of who told it: it would overtake the next owner."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()
        at = records.NOW
        switch_on = NodeRequest(id="r", node_id="node-1", verb="power:on", created_at=at, updated_at=at)
        await world.store.transact(lambda tx: tx.insert(switch_on))
        device = TakesItsTime()
        begun_s = world.clock.monotonic_s()
        host = ComputeHost(replace(world.edges(drain_s=0.0), device=lambda node: Device("BMC", device)))
        running = asyncio.create_task(host.run())
        await device.told.wait()
        if at_once:
            running.cancel()
        else:
            host.leave()
        await asyncio.gather(running, return_exceptions=True)
        row = await world.store.transact(lambda tx: tx.get(Host, "host"))
        assert row is not None
        assert row.released
        assert world.clock.monotonic_s() >= begun_s + device.longest_command_s

    asyncio.run(story())

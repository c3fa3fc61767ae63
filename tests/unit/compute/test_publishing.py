"""What a node's row says, as its boots are given it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from provisioner.compute.publishing import boot_entry
from provisioner.core.model import Port, Publication, PublicationKind
from provisioner.protocols.power import BootDevice
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld


def test_the_agent_of_a_boot_obeys_no_owner_from_before_it(tmp_path: Path) -> None:
    """Of a boot that is repeated the token is the same, and known to whoever began the first one."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        ramdisk = Publication(kind=PublicationKind.AGENT, token_sealed="nekot", command_line="quiet")
        port = Port(id="52:54:00:77:00:01", node_id="node-1", address="10.77.0.101")
        entry = boot_entry(world.edges(), records.node(fence=6, publication=ramdisk), (port,))
        assert "provisioner.fence=6" in entry.command_line.split()
        world.rack.publish(entry)
        machine = world.rack.machine("n1")
        machine.boot_device = BootDevice.NETWORK
        world.rack.switch(machine, True)
        await asyncio.sleep(0.01)
        assert machine.agent is not None
        assert not machine.agent.admit(5)
        assert machine.agent.admit(6)

    asyncio.run(story())

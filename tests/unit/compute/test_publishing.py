"""What a node's row says, as its boots are given it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.compute.publishing import boot_entry, whole_entry
from provisioner.core.errors import InvalidInput
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


@pytest.mark.parametrize(("arch", "most"), [("armhf", 1023), ("arm64", 2028), ("x86_64", 2025)])
def test_a_command_line_that_a_kernel_would_cut_off_is_given_to_none(
    arch: str, most: int, tmp_path: Path
) -> None:
    async def story() -> None:
        edges, node = FakeWorld(tmp_path).edges(), records.node(name="n1", arch=arch)

        def line(letters: int) -> str:
            said = Publication(kind=PublicationKind.INSTANCE, kernel="00ab", command_line="a" * letters)
            return whole_entry(edges, replace(node, publication=said), ()).command_line

        assert line(most) == "a" * most
        with pytest.raises(InvalidInput) as refused:
            line(most + 1)
        assert (
            f"it has {most + 1} letters, and {most} get through to a kernel of {arch}"
            in refused.value.message
        )
        assert "node n1" in refused.value.message
        running = Publication(kind=PublicationKind.INSTANCE, kernel="00ab", command_line="a" * 5000)
        assert boot_entry(edges, replace(node, publication=running), ()), "its root is served on"

    asyncio.run(story())


def test_a_board_whose_command_line_is_its_own_is_asked_for_no_length(tmp_path: Path) -> None:
    async def story() -> None:
        said = Publication(kind=PublicationKind.INSTANCE, kernel="00ab", command_line="a" * 5000)
        whole_entry(FakeWorld(tmp_path).edges(), records.node(arch="tilepro64", publication=said), ())

    asyncio.run(story())

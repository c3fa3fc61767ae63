"""Where a node's kernel is told to print."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.model import Image, PublicationKind
from provisioner.core.states import ProvisionState
from tests.unit.compute.fake_world import PATIENT, FakeWorld, play


@pytest.mark.parametrize("arch", ["arm64", "armhf"])
def test_boards_print_where_their_device_tree_says(arch: str, tmp_path: Path) -> None:
    """Serial ports have a name for each maker; one that isn't there is no console at all."""

    async def story(world: FakeWorld) -> None:
        await world.store.transact(lambda tx: tx.update(Image, "image-1", {"arch": arch}))
        await world.ask()
        await world.comes_to("agent_ready")
        ramdisk = (await world.node()).publication
        world.rack.boots_on("n1")
        await world.becomes(ProvisionState.ACTIVE)
        instance = (await world.node()).publication
        assert (ramdisk.kind, instance.kind) == (PublicationKind.AGENT, PublicationKind.INSTANCE)
        for published in (ramdisk, instance):
            assert published.command_line and "console=" not in published.command_line

    play(tmp_path, story, **PATIENT, arch=arch, boot_driver="uboot", firmware="uboot")

"""A root by NFS: another list of steps, the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.model import PublicationKind
from provisioner.core.plan import PLANS
from provisioner.core.states import ProvisionState
from tests.unit.compute.fake_world import FakeWorld, play

DEPLOY = [spec.name for spec in PLANS["deploy-nfs"].steps]
CLEAN = [spec.name for spec in PLANS["clean-nfs"].steps]


def test_the_kernel_is_told_where_its_root_is_served(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        entry = world.rack.machine(node.name).entry
        assert entry is not None
        folder = node.publication.root
        assert entry.nfs_root == world.rack.roots.path(folder)
        assert f"root=/dev/nfs nfsroot=10.77.0.10:/{folder}," in entry.command_line
        assert "ip=dhcp" in entry.command_line.split()
        assert '"local-hostname"' in world.rack.roots.folders[folder]

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


@pytest.mark.parametrize("step", DEPLOY)
def test_a_deploy_goes_on_to_active_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        assert list(world.rack.roots.folders) == [node.publication.root], "none of an earlier attempt is left"

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


@pytest.mark.parametrize("step", CLEAN)
def test_a_deletion_goes_on_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.AVAILABLE)
        assert world.rack.roots.folders == {}
        assert (await world.node()).publication.kind is PublicationKind.NOTHING

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_an_owner_from_before_removes_nothing_of_a_newer_one(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        await world.rack.roots.remove(node.id, fence=node.fence - 1)
        assert list(world.rack.roots.folders) == [node.publication.root]

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)

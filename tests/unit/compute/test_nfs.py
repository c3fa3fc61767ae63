"""A root by NFS: another list of steps, the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from provisioner.core.model import Instance, PublicationKind
from provisioner.core.plan import PLANS
from provisioner.core.states import InstanceState, ProvisionState
from tests.unit.compute.fake_world import FakeWorld

DEPLOY = [spec.name for spec in PLANS["deploy-nfs"].steps]
CLEAN = [spec.name for spec in PLANS["clean-nfs"].steps]


def play(folder: Path, story: Callable[[FakeWorld], Awaitable[None]]) -> None:
    async def run() -> None:
        world = FakeWorld(folder)
        await world.fill(deploy_driver="nfs", disk_mib=0)
        world.start()
        try:
            await story(world)
        finally:
            await world.die()

    asyncio.run(run())


async def delete(world: FakeWorld) -> None:
    await world.store.transact(
        lambda tx: (
            tx.update(Instance, "instance-1", {"delete_requested": True, "state": InstanceState.DELETING}),
            tx.notify("instances"),
        )
    )


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

    play(tmp_path, story)


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

    play(tmp_path, story)


@pytest.mark.parametrize("step", CLEAN)
def test_a_deletion_goes_on_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await delete(world)
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.AVAILABLE)
        assert world.rack.roots.folders == {}
        assert (await world.node()).publication.kind is PublicationKind.NOTHING

    play(tmp_path, story)


def test_an_owner_from_before_removes_nothing_of_a_newer_one(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        await world.rack.roots.remove(node.id, fence=node.fence - 1)
        assert list(world.rack.roots.folders) == [node.publication.root]

    play(tmp_path, story)

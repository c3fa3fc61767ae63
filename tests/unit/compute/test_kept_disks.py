"""Disks that are never written to: a board's U-Boot may be on one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from provisioner.api import node_orders
from provisioner.api.context import ApiContext
from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.config.node_file import KeptDisk, RootDevice
from provisioner.core.errors import Conflict
from provisioner.core.outcome import Outcome
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.drivers.fake_agent import DEVICE, BootedAgent
from tests.unit.compute.fake_world import FakeWorld, play

CARD: dict[str, Any] = {"path": "/dev/mmcblk0", "size_bytes": 2**33, "serial": "0x1c07", "model": "SC16G"}
BOARD = {"boot_driver": "uboot", "firmware": "uboot"}


def test_a_disk_that_is_to_be_kept_is_neither_deployed_to_nor_wiped(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        machine = world.rack.machine("n1")
        machine.more_disks = (CARD,)
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        told = " ".join(event.text for event in await world.events())
        assert f"{DEVICE} is exported" in told and CARD["path"] not in told.partition("exported")[2]
        await world.delete()
        await world.becomes(ProvisionState.AVAILABLE)
        assert machine.wiped == (DEVICE,)

    play(tmp_path, story, keep_disks=({"model": "SC16G"},), **BOARD)


def test_another_boot_which_may_name_the_disks_otherwise_is_not_told_to_wipe_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node restarts, and then this process, between the report of its disks and their wipe."""
    told, wipe = list[str](), BootedAgent.run
    hung = asyncio.Event()

    def run(agent: BootedAgent, name: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "wipe":
            told.append(agent.boot_id)
        return wipe(agent, name, params)

    async def hang(ctx: StepContext) -> Outcome:
        hung.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing sets it")

    monkeypatch.setattr(BootedAgent, "run", run)
    monkeypatch.setattr(worker, "STEPS", {**worker.STEPS, "wipe": hang})

    async def story(world: FakeWorld) -> None:
        machine = world.rack.machine("n1")
        machine.more_disks = (CARD,)
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await hung.wait()
        await world.die()
        before = machine.agent
        assert before is not None
        machine.agent = BootedAgent(machine, "another-boot", before.token, before.fence)
        monkeypatch.undo()
        monkeypatch.setattr(BootedAgent, "run", run)
        world.start()
        await world.becomes(ProvisionState.AVAILABLE)
        assert len(told) == 1 and "another-boot" not in told
        assert machine.wiped == (DEVICE,)

    play(tmp_path, story, keep_disks=({"model": "SC16G"},), **BOARD)


def test_of_a_board_with_no_disk_but_the_kept_one_nothing_is_wiped(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await world.becomes(ProvisionState.AVAILABLE)
        assert world.rack.machine("n1").wiped == ()
        assert any("each of its disks is to be kept" in event.text for event in await world.events())

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0, keep_disks=({"path": DEVICE},), **BOARD)


def test_a_node_whose_kept_disk_is_not_there_is_not_wiped(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await world.becomes(ProvisionState.CLEAN_FAILED)
        failure = (await world.node()).failure
        assert failure is not None
        assert failure.code == "disk-missing" and "keep_disks" in failure.message
        assert world.rack.machine("n1").wiped == ()

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0, keep_disks=({"serial": "MISTYPED"},), **BOARD)


def test_a_mistyped_kept_disk_is_corrected_and_the_node_wiped_before_it_is_offered(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        machine = world.rack.machine("n1")
        machine.more_disks = (CARD,)
        await world.ask(wipe="full")
        await world.becomes(ProvisionState.ACTIVE)
        await corrects(world, keep_disks=[KeptDisk(serial="MISTYPED")])
        await world.delete()
        await world.becomes(ProvisionState.CLEAN_FAILED)
        assert (machine.wiped, (await world.node()).wipe_owed) == ((), "full")
        with pytest.raises(Conflict, match="its disks may still hold that one's data"):
            await world.store.transact(lambda tx: node_orders.delete(tx, "n1"))
        await corrects(world, keep_disks=[KeptDisk(serial="0x1c07")])
        context = cast(ApiContext, SimpleNamespace(ids=world.ids))
        await world.store.transact(lambda tx: node_orders.clean(tx, context, "n1"))
        await world.becomes(ProvisionState.AVAILABLE)
        assert (machine.wiped, (await world.node()).wipe_owed) == ((DEVICE,), "")
        steps = [event.step for event in await world.events() if event.name == "step.done"]
        assert steps.index("wipe") < steps.index("withdraw_boot")
        await world.store.transact(lambda tx: node_orders.delete(tx, "n1"))

    play(tmp_path, story, **BOARD)


def test_a_mistyped_root_device_is_corrected_and_the_node_deployed(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        machine = world.rack.machine("n1")
        machine.more_disks = (CARD,)
        await world.ask()
        await world.until("the deploy moves on", lambda: moved(world))
        await world.becomes(ProvisionState.AVAILABLE)
        await corrects(world, root_device=RootDevice(serial="n1"))
        await world.store.transact(lambda tx: node_orders.set_maintenance(tx, "n1", on=False, reason=""))
        await world.ask(id="instance-2", name="web2", node_name="n1")
        await world.becomes(ProvisionState.ACTIVE)
        told = " ".join(event.text for event in await world.events())
        assert f"{DEVICE} is exported" in told

    play(tmp_path, story, root_device_hint={"serial": "MISTYPED"}, **BOARD)


async def moved(world: FakeWorld) -> bool:
    return (await world.instance()).state is InstanceState.REQUESTED and bool((await world.node()).wipe_owed)


async def corrects(
    world: FakeWorld, *, root_device: RootDevice | None = None, keep_disks: list[KeptDisk] | None = None
) -> None:
    """As an operator does."""
    await world.store.transact(lambda tx: node_orders.set_disks(tx, "n1", root_device, keep_disks))

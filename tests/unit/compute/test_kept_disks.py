"""Disks that are never written to: a board's U-Boot may be on one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.outcome import Outcome
from provisioner.core.states import ProvisionState
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

"""What is told of work that has failed, whichever process did which part of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.errors import PermanentError
from provisioner.core.failures import FAILURES, remedy_of
from provisioner.core.outcome import Outcome
from provisioner.core.states import ProvisionState
from provisioner.drivers import fake_agent
from tests.unit.compute.fake_world import FakeWorld, play


def refuse(agent: object, params: Mapping[str, Any]) -> Mapping[str, Any]:
    error = PermanentError("run partition_disk", device="agent of node n1", answer="sfdisk: cannot write")
    error.code = "partitioning-failed"
    raise error


async def hang(ctx: StepContext) -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


def test_what_was_proven_outlives_who_proved_it_and_each_failure_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(worker, "STEPS", {**worker.STEPS, "partition_disk": hang})
            await world.ask(node_name="n1")
            await world.comes_to("partition_disk")
            await world.die()
        monkeypatch.setitem(fake_agent._COMMANDS, "partition_disk", refuse)
        world.start()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert failure.step == "partition_disk"
        assert failure.last_proven.startswith("verify_image: ")
        assert failure.likely_cause == remedy_of("partitioning-failed")

    play(tmp_path, story)


def test_a_step_that_proved_nothing_leaves_what_the_one_before_it_proved(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.broken.add("n1")
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert failure.step == "power_on"
        assert failure.last_proven.startswith("set_boot_device: ")

    play(tmp_path, story)


def test_a_kernel_that_stops_is_told_by_its_console(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask(proof_of_life=("console:login:",))
        await world.comes_to("instance_running")
        world.console = "[    1.9] Kernel panic - not syncing: VFS: Unable to mount root fs\n"
        await world.comes_to("instance_running", times=2)
        world.console += "[    1.9] Kernel panic - not syncing: VFS: Unable to mount root fs\n"
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert "its console says: [    1.9] Kernel panic" in failure.message
        assert "root" in failure.likely_cause

    play(tmp_path, story, running_deadline_s=0.2)


@pytest.mark.parametrize("code", sorted(FAILURES))
def test_each_code_has_something_to_do_next_in_plain_words(code: str) -> None:
    assert remedy_of(code)
    assert not set(remedy_of(code)) & set("`[]")

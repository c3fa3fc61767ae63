"""An agent of another version than the provisioner's: from an old ramdisk, or booted by a host that was
upgraded since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from provisioner.core.errors import PermanentError
from provisioner.core.states import ProvisionState
from provisioner.drivers import fake_agent
from tests.unit.compute.fake_world import FakeWorld, play


def test_an_old_ramdisk_ends_the_deploy_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_agent, "VERSION", "0.9")

    async def story(world: FakeWorld) -> None:
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert failure.code == "agent-of-another-version"
        assert "version 0.9" in failure.message
        assert "provisioner ramdisk build --arch amd64" in failure.likely_cause

    play(tmp_path, story)


@pytest.mark.parametrize("step", ["agent_ready", "grow_root"])
def test_who_takes_over_from_a_host_of_another_version_boots_its_own_ramdisk(
    step: str, tmp_path: Path
) -> None:
    def refuse(name: str, params: Mapping[str, Any]) -> NoReturn:
        error = PermanentError(f"run {name}", answer="parameter of_later is not a parameter of this command")
        error.code = "invalid-params"
        raise error

    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.comes_to(step)
        await world.die()
        agent = world.rack.machine("n1").agent
        assert agent is not None
        agent.version, agent.run = "0.9", refuse  # type: ignore[method-assign]
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        told = [(event.name, event.step) for event in await world.events()]
        assert told.count(("step.done", "power_on")) == 2

    play(tmp_path, story)

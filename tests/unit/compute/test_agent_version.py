"""An agent of another version than the provisioner's: from an old ramdisk, or booted by a host that was
upgraded since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import PermanentError
from provisioner.core.states import ProvisionState
from provisioner.drivers import fake_agent
from provisioner.drivers.fake_agent import BootedAgent
from tests.unit.compute.fake_world import PATIENT, FakeWorld, play


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


def test_a_node_whose_agent_does_not_understand_is_booted_with_the_ramdisk_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that a host of another version has booted."""
    run, agents = BootedAgent.run, list[BootedAgent]()

    def understands_less(agent: BootedAgent, name: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if agent not in agents:
            agents.append(agent)
        if agent is agents[0] and name == "partition_disk":
            agent.version = "0.9"
            error = PermanentError(
                f"run {name}", answer="parameter of_later is not a parameter of this command"
            )
            error.code = "invalid-params"
            raise error
        return run(agent, name, params)

    monkeypatch.setattr(BootedAgent, "run", understands_less)

    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        told = [(event.name, event.step) for event in await world.events()]
        assert told.count(("step.done", "power_on")) == 2

    play(tmp_path, story)


def test_a_node_that_a_host_of_another_version_booted_is_booted_anew_by_its_new_owner(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.comes_to("agent_ready")
        await world.die()
        world.rack.boots_on("n1")
        agent = world.rack.machine("n1").agent
        assert agent is not None
        agent.version = "0.9"
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        told = [(event.name, event.step) for event in await world.events()]
        assert told.count(("step.done", "power_on")) == 2
        assert any("it is of version 0.9" in event.text for event in await world.events())

    play(tmp_path, story, **PATIENT)

"""Hosts that aren't equipped alike, and work that is interrupted: every request ends, and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.compute.devices import Device
from provisioner.compute.edges import DeployRamdisk, Edges
from provisioner.compute.interruptions import MOST_INTERRUPTED, Interruptions
from provisioner.compute.worker import Worker
from provisioner.core.errors import HostLacks, InvalidInput, PermanentError, TransientError
from provisioner.core.model import Node, Work
from provisioner.core.states import ProvisionState
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld, play

LONG_S = 3000.0

NO_COMMAND = "this host has no command 'site-pdu'"
NO_RAMDISK = "none in its cache"


def no_device(node: Node) -> Device:
    raise InvalidInput(f"switch the outlets of node {node.name}", field="power.command", answer=NO_COMMAND)


def no_ramdisk(arch: str) -> DeployRamdisk:
    raise HostLacks(f"find the deploy ramdisk for {arch}", answer=NO_RAMDISK)


def lacking(world: FakeWorld, name: str, **lacks: Any) -> None:
    """That host is made without these from now on."""
    edges = world.edges

    def made(host: str = "host", **named: Any) -> Edges:
        found = edges(host, **named)
        return replace(found, **lacks) if host == name else found

    world.edges = made  # type: ignore[method-assign]


async def is_owned_by(world: FakeWorld, host: str) -> None:
    async def owned() -> bool:
        return (await world.node()).owner == host

    await world.until(f"{host} owns it", owned)


@pytest.mark.parametrize("lacks", [{"device": no_device}, {"ramdisk": no_ramdisk}])
def test_who_lacks_what_a_deploy_needs_passes_it_on(
    lacks: dict[str, Callable[..., object]], tmp_path: Path
) -> None:
    async def story(world: FakeWorld) -> None:
        lacking(world, "other", **lacks)
        world.rack.hangs = True
        await world.ask()
        await world.comes_to("agent_ready")
        world.start("other")
        world.hosts["host"].leave()
        await world.ends("host")
        await is_owned_by(world, "other")
        world.start("host")
        world.lose_boot()
        world.rack.hangs = False
        await world.becomes(ProvisionState.ACTIVE)
        assert (await world.node()).owner == "host"
        told = [event.text for event in await world.events() if event.name == "step.passed_on"]
        assert any(NO_COMMAND in text or NO_RAMDISK in text for text in told)

    play(tmp_path, story, boot_deadline_s=LONG_S)


def test_an_enrolment_that_no_host_is_equipped_for_fails_and_says_why(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await is_owned_by(world, "host")
        await world.die()
        lacking(world, "host", device=no_device)
        work = Work(id="w", plan="enrol", step="verify_power", entered_at=records.NOW)
        await world.enrol(2, state=ProvisionState.ENROLLING, work=work)
        world.start()

        async def failed() -> bool:
            return (await world.node(2)).state is ProvisionState.ENROL_FAILED

        await world.until("it fails", failed)
        failure = (await world.node(2)).failure
        assert failure is not None
        assert (failure.code, NO_COMMAND in failure.message) == ("host-lacks", True)

    play(tmp_path, story)


def interrupted(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[None]:
    """One for each time."""
    times: list[None] = []

    async def run(worker: Worker) -> None:
        times.append(None)
        raise error

    monkeypatch.setattr(Worker, "run", run)
    return times


@pytest.mark.parametrize("error", [PermanentError("write", answer="it is no text"), KeyError("x")])
def test_work_that_is_interrupted_again_and_again_fails_and_says_why(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        times = interrupted(monkeypatch, error)
        await world.ask()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        assert len(times) == MOST_INTERRUPTED
        failure = (await world.instance()).failure
        assert failure is not None
        assert ("it is no text" if isinstance(error, PermanentError) else "KeyError") in failure.message

    play(tmp_path, story)


def test_what_interrupted_one_work_is_not_held_against_the_next() -> None:
    known, cause = Interruptions(), PermanentError("write", answer="it is no text")
    for _ in range(MOST_INTERRUPTED):
        assert known.too_many("n1", "a deploy") is None
        known.note("n1", "a deploy", cause)
        known.note("n2", "", cause)
    assert known.too_many("n1", "a deploy") is cause
    assert known.too_many("n1", "its cleaning") is None
    assert known.too_many("n2", "") is None
    known.note("n1", "its cleaning", cause)
    assert known.too_many("n1", "its cleaning") is None
    known.forget("n1")
    assert known.too_many("n1", "a deploy") is None


def test_work_that_is_interrupted_by_what_passes_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        with monkeypatch.context() as away:
            times = interrupted(away, TransientError("use the database", answer="it is away"))
            await world.ask()

            async def often() -> bool:
                return len(times) > 2 * MOST_INTERRUPTED

            await world.until("it was interrupted often", often)
        await world.becomes(ProvisionState.ACTIVE)

    play(tmp_path, story)

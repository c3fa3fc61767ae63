"""The first promise: whatever dies, the request goes on to its end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.model import Instance, PublicationKind
from provisioner.core.outcome import Outcome
from provisioner.core.plan import PLANS
from provisioner.core.seen_leases import Left
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.drivers.fake import Machine
from tests.unit.compute.fake_board import HELD_S
from tests.unit.compute.fake_world import PATIENT, FakeWorld, play

DEPLOY = [spec.name for spec in PLANS["deploy-iscsi"].steps]
CLEAN = [spec.name for spec in PLANS["clean"].steps]


@pytest.mark.parametrize("step", DEPLOY)
def test_a_deploy_goes_on_to_active_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.comes_to(step)
        await world.die()
        fence = (await world.node()).fence
        world.start()

        async def taken_over() -> bool:
            return (await world.node()).fence > fence

        await world.until("the new process has taken the node over, under a new fence", taken_over)
        await world.becomes(ProvisionState.ACTIVE)
        assert (await world.instance()).state is InstanceState.ACTIVE
        node = await world.node()
        assert node.work is None
        assert node.failure is None

    play(tmp_path, story)


@pytest.mark.parametrize("step", CLEAN)
def test_a_deletion_goes_on_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask(wipe="full", user_data="#!/bin/sh\n")
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.AVAILABLE)
        gone = await world.instance()
        assert (gone.state, gone.user_data) == (InstanceState.DELETED, "")
        node = await world.node()
        assert node.instance_id is None
        assert node.publication.kind is PublicationKind.NOTHING
        wipes = [event for event in await world.events() if event.step == "wipe"]
        wiped = [event.text for event in wipes if event.name == "step.done"]
        assert wiped
        assert all(text.startswith("full wipe") for text in wiped), "as its owner had asked"

    play(tmp_path, story)


@pytest.mark.parametrize("step", DEPLOY)
def test_an_instance_deleted_while_it_deploys_leaves_a_clean_node(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.comes_to(step)
        await world.delete()

        async def ended() -> bool:
            return (await world.instance()).state is InstanceState.DELETED

        await world.until("instance deleted", ended)
        await world.becomes(ProvisionState.AVAILABLE)

    play(tmp_path, story)


def test_deaths_of_the_provisioner_are_not_held_against_the_node(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        for entered in (1, 3):  # each death: once when it is resumed, once when it is begun again
            await world.comes_to("agent_ready", times=entered)
            await world.die()
            world.lose_boot()
            world.boot_deadline_s = 50.0 if entered == 3 else world.boot_deadline_s
            world.start()
        await world.comes_to("agent_ready", times=5)
        world.rack.delay_s = 0.0
        world.lose_boot()  # the first boot that fails by itself: one more attempt is due
        await world.becomes(ProvisionState.ACTIVE)
        retries = [event.text for event in await world.events() if event.name == "step.retry"]
        assert ["while no provisioner answered" in text for text in retries] == [True, True, False]
        assert "boot 1 of 2" in retries[-1]

    play(tmp_path, story, **PATIENT)


MANY = PLANS["deploy-iscsi"].max_retries + 1


def is_tried_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLANS, "deploy-iscsi", replace(PLANS["deploy-iscsi"], max_retries=1))


async def loses_its_owner(world: FakeWorld, times: int) -> None:
    """In `agent_ready`, so often, and each time with the boot that it was waiting for."""
    world.rack.delay_s = HELD_S  # none is over before its owner is
    begun = sum(
        event.step == "agent_ready" and event.name in ("step.started", "step.resumed")
        for event in await world.events()
    )
    for number in range(times):
        # Each death: once when it is resumed, once when it is begun again.
        await world.comes_to("agent_ready", times=begun + 2 * number + 1)
        await world.die()
        world.lose_boot()
        if number == times - 1:
            world.rack.delay_s = 0.0
        world.start()


def test_a_deploy_and_a_cleaning_outlive_more_owners_than_they_have_retries(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await loses_its_owner(world, MANY)
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await loses_its_owner(world, MANY)
        await world.becomes(ProvisionState.AVAILABLE)

    play(tmp_path, story, **PATIENT)


def deaf_to_calls(monkeypatch: pytest.MonkeyPatch, owners: int) -> asyncio.Queue[None]:
    """Those that are to die hear nothing before, of an instance that may call at once. Tells when each of
    them has begun to wait for it."""
    real, entered, deaf = worker.STEPS["instance_running"], asyncio.Queue[None](), [True] * owners

    async def wait_for_call(ctx: StepContext) -> Outcome:
        if deaf and not ctx.resumed:
            deaf.pop()
            entered.put_nowait(None)
            await asyncio.Event().wait()
        return await real(ctx)

    monkeypatch.setattr(worker, "STEPS", {**worker.STEPS, "instance_running": wait_for_call})
    return entered


def test_an_instance_that_phones_home_outlives_more_owners_than_its_deploy_has_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_tried_again_once(monkeypatch)
    entered = deaf_to_calls(monkeypatch, 2)

    async def story(world: FakeWorld) -> None:
        await world.ask(proof_of_life=("phone_home",))
        for _ in range(2):
            await entered.get()
            await world.die()
            machine = world.rack.machine("n1")

            async def called(machine: Machine = machine) -> bool:
                return machine.starting is None

            await world.until("it has called", called)
            world.start()
        await world.becomes(ProvisionState.ACTIVE)
        retries = [event for event in await world.events() if event.name == "step.retry"]
        assert len(retries) == 2

    play(tmp_path, story, boot_s=0.05)


def test_a_node_that_ends_its_host_again_and_again_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_tried_again_once(monkeypatch)
    monkeypatch.setattr(worker, "MOST_CUT_SHORT", 2)

    async def story(world: FakeWorld) -> None:
        await world.ask()
        await loses_its_owner(world, 4)
        await world.becomes(ProvisionState.DEPLOY_FAILED)

    play(tmp_path, story, **PATIENT)


def test_an_instance_that_called_while_nobody_was_there_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It calls once in its life."""
    entered = deaf_to_calls(monkeypatch, 1)

    async def story(world: FakeWorld) -> None:
        await world.ask(proof_of_life=("phone_home",))
        await entered.get()
        await world.die()

        async def called() -> bool:
            return world.rack.machine("n1").starting is None

        await world.until("it has called", called)
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        retries = [event.detail["from"] for event in await world.events() if event.name == "step.retry"]
        assert retries == ["publish_boot"]

    play(tmp_path, story, boot_s=0.2)


def test_what_steps_took_is_told_to_the_metrics(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        counted = await world.store.transact(
            lambda tx: world.metrics.count(tx, {}, lambda host, tx: Left(0.0, certain=True))
        )
        told = world.metrics.text(counted).decode()
        for step in DEPLOY:
            assert f'provisioner_step_seconds_count{{step="{step}"}} 1.0' in told

    play(tmp_path, story)


def test_a_second_request_waits_for_the_node_and_is_told_so(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await world.ask(id="instance-2", name="second", node_name="n1")

        async def told() -> bool:
            found = await world.store.transact(lambda tx: tx.get(Instance, "instance-2"))
            return found is not None and "it is active" in found.waiting_for

        await world.until("the second request is told why it waits", told)

    play(tmp_path, story)

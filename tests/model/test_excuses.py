"""What excuses a deploy that ends in error, where a story says `struck_may_fail`: its node's own trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from bmsim.faults.catalogue import CATALOGUE
from provisioner.api import instance_orders
from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.errors import Conflict, PermanentError, TransientError
from provisioner.core.outcome import Fail, Outcome, Retry
from scenarios.runner.addresses import numbered_node
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Delete, Deploy, OnEvent, OnTold, Story, Strike
from scenarios.runner.verdict import Verdict
from tests.failover_stories import story as failover
from tests.model.mutants import DELETE, give_up_at_once, replace_steps, strike


def story(*strikes: Strike) -> Story:
    hosts, nodes = rack(2)
    return Story(
        name="excused",
        hosts=hosts,
        nodes=nodes,
        requests=(Deploy(instance="web", image="tiny", node="n1"),),
        strikes=strikes,
        images=("tiny",),
        safety_s=7200.0,
        struck_may_fail=True,
    )


def broken_promises(told: Story) -> set[str]:
    result = play_story(told, Fidelity.MODEL, 1).result
    assert result.verdict is not Verdict.INFRA, result.trouble
    return {breach.promise for breach in result.breaches}


def befallen(befalls: str) -> Story:
    """Something befalls the owner of n1 while the image is written; nothing its node."""
    told = failover("deploy-iscsi", "write_image", befalls, release=False)
    return replace(told, struck_may_fail=True)


def give_up_what_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As others do it: a deploy whose host is lost has failed."""

    def or_fail(step: Callable[[StepContext], Awaitable[Outcome]]) -> Callable[..., Awaitable[Outcome]]:
        async def step_or_fail(ctx: StepContext) -> Outcome:
            if ctx.resumed:
                return Fail(PermanentError("resume the deploy", answer="its compute host was lost"))
            return await step(ctx)

        return step_or_fail

    monkeypatch.setattr(worker, "STEPS", {name: or_fail(step) for name, step in worker.STEPS.items()})


@pytest.mark.parametrize("befalls", ["killed", "frozen", "cut off from both"])
def test_what_befalls_its_host_excuses_no_deploy(befalls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_promises(befallen(befalls)) == set()
    give_up_what_is_resumed(monkeypatch)
    assert broken_promises(befallen(befalls)) == {"expectation"}


@pytest.mark.parametrize("fault", ["net.partition", "disk.write_error", "bmc.silent"])
def test_trouble_of_its_own_excuses_it(fault: str) -> None:
    told = story(strike(fault, "n1"))
    assert broken_promises(told) == set()
    assert broken_promises(replace(told, struck_may_fail=False)) == {"expectation"}


SWITCHED_ON = OnEvent("bmc", "chassis.power.on", "n2")
"""Which never is: nobody asks for n2."""


@pytest.mark.parametrize(
    "missed",
    [
        strike("disk.write_error", "n2"),
        strike("disk.write_error", "n1", SWITCHED_ON),
        strike("node.power_loss", "n1", OnTold("web", "error")),
        strike("disk.read_error", "n1"),
    ],
    ids=["another's", "its moment never came", "after the failure", "nothing was read"],
)
def test_what_never_met_its_node_excuses_nothing(missed: Strike, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(ctx: StepContext) -> Outcome:
        return Fail(PermanentError("write the image", answer="no reason at all"))

    monkeypatch.setattr(worker, "STEPS", {**worker.STEPS, "write_image": fail})
    assert broken_promises(story(missed)) == {"expectation"}


def refused(*broken: str) -> Story:
    """Images that don't come as they should. Both instances are to be deleted, one in any case."""
    images = ("tiny", "tiny-disk")
    corrupt = tuple(
        Strike(fault="image.corrupt", image=one, parameters=CATALOGUE["image.corrupt"].completed({}))
        for one in broken
    )
    requests = (
        Deploy(instance="web", image="tiny", node="n1"),
        Delete(instance="web", when=AtTime(30.0)),
        Deploy(instance="db", image="tiny-disk", node="n2"),
        Delete(instance="db", when=OnTold("db", "active")),
    )
    return replace(story(*corrupt), requests=requests, images=images)


@pytest.mark.parametrize("broken", [("tiny",), ("tiny-disk",), ("tiny", "tiny-disk")])
def test_an_image_that_never_came_excuses_that_its_deploys_are_refused(broken: tuple[str, ...]) -> None:
    assert broken_promises(refused(*broken)) == set()
    assert broken_promises(replace(refused(*broken), struck_may_fail=False)) == {"expectation"}


@pytest.mark.parametrize("broken", [(), ("tiny-disk",)])
def test_a_deploy_is_not_refused_for_the_sake_of_another_image(
    broken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*asked: object) -> None:
        raise Conflict("deploy it", answer="not today")

    monkeypatch.setattr(instance_orders, "create", refuse)
    assert broken_promises(refused(*broken)) == {"expectation"}


# --- a provisioner that fails what it need not ----------------------------------------------------


BUSY_ONCE = strike("bmc.busy", "n1", count=1)
WRITING = OnEvent("step", "step.started", "n1", detail={"step": "write_image"})


def test_no_trouble_excuses_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_promises(story(BUSY_ONCE)) == set()

    async def stumble(ctx: StepContext) -> Outcome:
        raise KeyError("n1")

    replace_steps(monkeypatch, {"write_image": stumble})
    assert broken_promises(story(BUSY_ONCE)) == {"no_defect", "expectation"}


def test_a_cleaning_that_fails_by_a_defect_is_caught_though_it_is_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wipe, wiped = worker.STEPS["wipe"], []

    async def stumble_once(ctx: StepContext) -> Outcome:
        wiped.append(ctx.node.name)
        if len(wiped) == 1:
            raise KeyError("n1")
        return await wipe(ctx)

    replace_steps(monkeypatch, {"wipe": stumble_once})
    told = replace(story(), requests=(*story().requests, DELETE))
    assert broken_promises(told) == {"no_defect"}
    assert len(wiped) > 1


@pytest.mark.parametrize(
    "passing",
    [
        strike("node.hangs", "n1", at="kernel", count=1),
        strike("disk.write_error", "n1", heal_after_s=30.0),
        strike("net.partition", "n1", WRITING, heal_after_s=60.0),
    ],
    ids=lambda passing: passing.fault,
)
def test_trouble_that_passes_excuses_nobody_who_gives_up_at_once(
    passing: Strike, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert broken_promises(story(passing)) == set()

    give_up_at_once(monkeypatch)
    assert broken_promises(story(passing)) == {"expectation"}


@pytest.mark.parametrize("fault", ["bmc.silent", "node.dead_nic"])
def test_a_cleaning_that_is_given_up_at_once_is_caught_though_it_is_done_again(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = OnEvent("step", "step.started", "n1", detail={"step": "withdraw_instance"})
    told = story(strike(fault, "n1", off))
    told = replace(told, requests=(*told.requests, DELETE))
    assert broken_promises(told) == set()

    give_up_at_once(monkeypatch)
    assert broken_promises(told) == {"expectation"}


def test_two_hosts_that_started_it_in_vain_are_excused_as_one_that_did_twice() -> None:
    dead = strike("node.dead_nic", "n1")
    hosts, _ = rack(2, 2)
    assert broken_promises(replace(story(dead), hosts=hosts)) == set()


def test_trouble_that_is_over_excuses_nobody_who_fails_long_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever may pass, and after all retries."""
    over = strike("net.delay", "n1", heal_after_s=5.0)
    assert broken_promises(story(over)) == set()

    async def fail(ctx: StepContext) -> Outcome:
        return Retry(TransientError("write the image", answer="no reason at all"), from_step="export_disk")

    replace_steps(monkeypatch, {"write_image": fail})
    assert broken_promises(story(over)) == {"expectation"}
    assert broken_promises(story(replace(over, heal_after_s=None))) == set()  # nobody can tell these apart


def test_trouble_of_another_kind_doesnt_excuse_what_no_retry_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    no_disk = PermanentError("find the disk", answer="none is there")
    no_disk.code = "disk-missing"

    async def fail(ctx: StepContext) -> Outcome:
        return Fail(no_disk)

    replace_steps(monkeypatch, {"export_disk": fail})
    assert broken_promises(story(BUSY_ONCE)) == {"expectation"}


def test_a_neighbour_on_its_pdu_excuses_it_while_it_is_silent_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What strikes a PDU is told once of those who only share it."""
    nodes = tuple(numbered_node(number, f"n{number}", power="pdu") for number in (1, 2))
    silent = strike("pdu.unreachable", "n2")
    told = replace(story(silent), nodes=nodes)
    assert broken_promises(told) == set()
    assert broken_promises(replace(told, struck_may_fail=False)) == {"expectation"}

    async def fail(ctx: StepContext) -> Outcome:
        return Retry(TransientError("write the image", answer="no reason at all"), from_step="export_disk")

    replace_steps(monkeypatch, {"write_image": fail})
    healed = replace(told, strikes=(replace(silent, heal_after_s=20.0),))
    assert broken_promises(healed) == {"expectation"}

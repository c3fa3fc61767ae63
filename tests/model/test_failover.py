"""A compute host is killed, frozen or cut off in every step of every path; whoever lives finishes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from provisioner.core.plan import PLANS
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict
from tests.failover_stories import (
    ENROLMENT,
    FAULTS,
    LOSES_ITS_NODES,
    OTHER_STEPS,
    STEPS,
    SWITCHES,
    ordered_late,
    owners,
    story,
    with_late_bmc,
)

SEEDS = range(1, 17)
"""By chance a step that takes no time is over before its host is lost: one of these loses it in the step."""

STRUCK = ("fault", "struck")

CUT_FROM_ITS_NODES = (
    *("cut off from the nodes", "cut off from the nodes for a moment"),
    "heard by the nodes, and not answered",
)
PASSES_THEM_ON = ("cut off from the nodes", "heard by the nodes, and not answered")
"""After long enough: it has its lease all the time."""

HEARD_BY_THE_STORE = ("heard by the store, and not answered", "heard by both, and not answered")
"""Its renewals arrive: of a host with boards, whose longer lease is counted from the last of them, the nodes
may stay with it."""

NEEDS_NO_NODE = {
    *((plan, "withdraw_boot") for plan in PLANS if plan.startswith("clean")),
    *((plan, "remove_root") for plan in PLANS),
}
"""Where a host that is cut off from the nodes may not notice."""


def cells() -> Iterator[object]:
    """Each step and each fault at least once; the others stand back when little time is given."""
    for number, (plan, step) in enumerate((*STEPS, *ENROLMENT)):
        for place, befalls in enumerate(FAULTS):
            stands_back = (number + place) % len(FAULTS)
            yield pytest.param(plan, step, befalls, marks=pytest.mark.exhaustive if stands_back else ())


@pytest.mark.parametrize(("plan", "step", "befalls"), list(cells()))
def test_a_host_may_be_lost_in_any_step(plan: str, step: str, befalls: str) -> None:
    its_work_is_finished(plan, step, befalls)


AT_ONCE = {
    ("uefi", "deploy-iscsi", "power_on"): "cut off from both",
    ("grub", "deploy-iscsi", "agent_ready"): "killed",
    ("grub", "deploy-iscsi", "instance_running"): "cut off from the store",
    ("grub", "clean", "power_on"): "frozen",
    ("uboot-arm64", "deploy-iscsi", "reboot"): "cut off from the nodes",
    ("uboot", "deploy-iscsi", "power_on"): "frozen",
    ("uboot", "deploy-iscsi", "agent_ready"): "killed",
    ("uboot", "clean", "power_off"): "cut off from the store",
    ("uboot-nfs", "deploy-nfs", "reboot"): "cut off from both",
    ("uboot-nfs", "clean-nfs", "remove_root"): "frozen",
    ("tilera", "deploy-tilera", "make_root"): "cut off from both",
    ("tilera", "deploy-tilera", "board_answers"): "frozen",
    ("tilera", "deploy-tilera", "set_board_network"): "killed",
    ("tilera", "clean-tilera", "remove_root"): "with a store that goes away",
}
"""Of them: what is played when little time is given. The other steps are those of any node."""


def other_cells() -> Iterator[object]:
    for (way, plan, step), befalls in product(OTHER_STEPS, FAULTS):
        marks = () if AT_ONCE.get((way, plan, step)) == befalls else pytest.mark.exhaustive
        yield pytest.param(way, plan, step, befalls, marks=marks)


@pytest.mark.parametrize(("way", "plan", "step", "befalls"), list(other_cells()))
def test_a_host_may_be_lost_in_any_step_of_other_paths(way: str, plan: str, step: str, befalls: str) -> None:
    its_work_is_finished(plan, step, befalls, way)


def cells_of_more_hosts() -> Iterator[object]:
    """Of three, four and five by turns: one of them is lost, and one alone of the others may take over."""
    places = [(plan, step) for plan, step in STEPS if plan in ("deploy-iscsi", "clean")]
    for (number, (plan, step)), (place, befalls) in product(enumerate(places), enumerate(LOSES_ITS_NODES)):
        stands_back = (number + place) % len(LOSES_ITS_NODES)
        marks = pytest.mark.exhaustive if stands_back else ()
        yield pytest.param(plan, step, befalls, 3 + (number + place) % 3, marks=marks)


@pytest.mark.parametrize(("plan", "step", "befalls", "hosts"), list(cells_of_more_hosts()))
def test_one_of_many_hosts_may_be_lost_in_any_step(plan: str, step: str, befalls: str, hosts: int) -> None:
    its_work_is_finished(plan, step, befalls, hosts=hosts)


def its_work_is_finished(plan: str, step: str, befalls: str, way: str = "", hosts: int = 2) -> None:
    told = story(plan, step, befalls, way=way, compute_hosts=hosts)
    for seed in SEEDS:
        played = play_story(told, Fidelity.MODEL, seed)
        assert played.result.verdict is Verdict.PASS, (seed, played.result.breaches, played.result.trouble)
        if befalls in CUT_FROM_ITS_NODES and (plan, step) in NEEDS_NO_NODE:
            return
        if not any((event.source, event.name) == STRUCK for event in played.trace):
            assert step == "withdraw_boot", "the fault did nothing: the story proves nothing"
            continue  # all is over with that step: before the fault, it may be
        moves = befalls in LOSES_ITS_NODES or befalls in PASSES_THEM_ON
        if not moves or len(set(owners(played.trace))) == 2:
            return
        assert step == "withdraw_boot", "nobody took over"
    pytest.fail("the fault did nothing, or nobody took over, whatever the seed")


IN_MID_COMMAND_S = (0.1, 1.0, 2.9)
"""Since the step has begun, whose first command is sent at once, and carried out three seconds later."""


@pytest.mark.parametrize("after_s", IN_MID_COMMAND_S)
@pytest.mark.parametrize(
    ("befalls", "place"),
    [
        pytest.param(befalls, place, marks=pytest.mark.exhaustive if (number + column) % 3 else ())
        for column, befalls in enumerate(("told to end", "told to end at once", "started again"))
        for number, place in enumerate(SWITCHES)
    ],
)
def test_nobody_is_overtaken_by_what_a_lost_process_told_a_bmc(
    befalls: str, place: tuple[str, str, str], after_s: float
) -> None:
    way, plan, step = place
    told = with_late_bmc(story(plan, step, befalls, way=way), after_s)
    played = play_story(told, Fidelity.MODEL, 1)
    assert played.result.verdict is Verdict.PASS, (played.result.breaches, played.result.trouble)
    struck = {event.detail["fault"] for event in played.trace if (event.source, event.name) == STRUCK}
    assert struck == {one.fault for one in told.strikes}, "the faults did nothing: the story proves nothing"


@pytest.mark.parametrize("befalls", ["host.end", "host.disk_full"])
@pytest.mark.parametrize("verb", ["soft", "cycle", "reset"])
def test_nobody_is_overtaken_by_what_an_operator_had_a_bmc_told(verb: str, befalls: str) -> None:
    """Its node is idle, and goes to the other host, which begins a deploy at once; or it goes there with the
    deploy that its owner has no room for."""
    told = ordered_late(verb, befalls)
    played = play_story(told, Fidelity.MODEL, 1)
    assert played.result.verdict is Verdict.PASS, (played.result.breaches, played.result.trouble)
    struck = {event.detail["fault"] for event in played.trace if (event.source, event.name) == STRUCK}
    assert struck == {one.fault for one in told.strikes}, "the faults did nothing: the story proves nothing"
    assert len(set(owners(played.trace))) == 2


@pytest.mark.parametrize("step", [step for _, step in ENROLMENT])
def test_a_host_is_lost_while_its_node_is_enrolled_and_not_later(step: str) -> None:
    played = play_story(story("enrol", step, "killed"), Fidelity.MODEL, 1)
    told = [
        event.detail.get("state", event.name) for event in played.trace if event.source in ("fault", "node")
    ]
    assert told[:4] == ["enrolling", "injected", "struck", "available"]


TOLD_WHOM_TO_CALL = [
    (plan, step)
    for plan in ("deploy-iscsi", "deploy-nfs")
    for step in ("publish_instance_boot", "reboot", "instance_running")
]


ONLY_CALL_S, CALL_S = 300.0, 1200.0
"""What an instance that only phones home takes until it is heard, since its owner was lost; and one of which
something else might have been seen."""


@pytest.mark.parametrize(
    ("plan", "step", "proofs", "within_s"),
    [
        *((*place, ("phone_home",), ONLY_CALL_S) for place in TOLD_WHOM_TO_CALL),
        *((*place, ("phone_home", "console:never printed"), CALL_S) for place in TOLD_WHOM_TO_CALL[1::3]),
    ],
)
def test_an_instance_phones_home_to_whoever_took_its_node_over(
    plan: str, step: str, proofs: tuple[str, ...], within_s: float
) -> None:
    for seed in SEEDS:
        told = story(plan, step, "killed", release=False, proof_of_life=proofs)
        played = play_story(replace(told, safety_s=10_000.0), Fidelity.MODEL, seed)  # nobody comes back
        assert played.result.verdict is Verdict.PASS, (seed, played.result.breaches, played.result.trouble)
        if len(set(owners(played.trace))) == 2:
            calls = [event for event in played.trace if event.detail.get("file") == "phone-home"]
            assert [call.sender for call in calls] == owners(played.trace)[-1:]
            struck_s = next(event.t_s for event in played.trace if event.source == "fault")
            assert calls[0].t_s < struck_s + within_s, "no wait for what can't come"
            return
    pytest.fail("nobody took over, whatever the seed")


def test_an_instance_whose_console_its_new_owner_hears_is_left_running() -> None:
    """Each host counts the bytes of its own record."""
    told = story(
        "deploy-iscsi", "instance_running", "killed", release=False, proof_of_life=("console:login",)
    )
    played = play_story(replace(told, safety_s=10_000.0), Fidelity.MODEL, 1)
    assert played.result.verdict is Verdict.PASS, (played.result.breaches, played.result.trouble)
    assert len(owners(played.trace)) == 2
    struck_s = next(event.t_s for event in played.trace if event.source == "fault")
    assert [event for event in played.trace if event.name == "step.retry" and event.t_s > struck_s] == []


EVERYWHERE = [*(("", plan, step) for plan, step in (*ENROLMENT, *STEPS)), *OTHER_STEPS]
"""Way of booting (empty: a server with a BIOS), plan, step."""


@pytest.mark.parametrize("by_s", [86400.0, -86400.0])
@pytest.mark.parametrize("of_plan", PLANS)
def test_a_wall_clock_that_jumps_changes_no_owner(of_plan: str, by_s: float) -> None:
    """At every fourth place of each plan."""
    for way, plan, step in [place for place in EVERYWHERE if place[1] == of_plan][::4]:
        told = story(plan, step, "killed", way=way)
        (killed,) = told.strikes
        jump = replace(killed, fault="host.clock_jump", parameters={"by_s": by_s})
        played = play_story(replace(told, strikes=(jump,)), Fidelity.MODEL, 1)
        assert played.result.verdict is Verdict.PASS, (way, step, played.result.breaches)
        assert any((event.source, event.name) == STRUCK for event in played.trace), (way, step)
        assert len(owners(played.trace)) == 1, (way, step)

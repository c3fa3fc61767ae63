"""Ownership broken on purpose, and the invariants that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import pytest

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import Strikes
from provisioner.compute.context import StepContext
from provisioner.compute.lease import LeaseKeeper
from provisioner.compute.ledger import NodeLedger
from provisioner.compute.membership import Membership
from provisioner.compute.publications import Publications
from provisioner.compute.steps import image
from provisioner.core.model import Host
from scenarios.runner.model import stage
from scenarios.runner.play import play_story
from scenarios.runner.random_story import family, rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Delete, Deploy, OnEvent, Story, StoryNode, Strike
from scenarios.runner.verdict import Breach, Verdict

pytestmark = pytest.mark.exhaustive  # each takes as long as a hundred unit tests


def strike(
    fault: str, when: float | OnEvent, heal_after_s: float | None, *, host: str = "ch1", **parameters: Any
) -> Strike:
    of_host = CATALOGUE[fault].strikes is not Strikes.NODE
    return Strike(
        fault=fault,
        node="n1" if host == "owner" or not of_host else "",
        host=host if of_host else "",
        parameters=CATALOGUE[fault].completed(parameters),
        when=when if isinstance(when, OnEvent) else AtTime(when),
        heal_after_s=heal_after_s,
    )


def broken_promises(
    strikes: tuple[Strike, ...], seed: int, image: str = "tiny", *, asked_first: int = 0
) -> set[str]:
    """asked_first: the position of the host that the client turns to."""
    return {breach.promise for breach in breaches(strikes, seed, image, asked_first=asked_first)}


def breaches(
    strikes: tuple[Strike, ...],
    seed: int,
    image: str = "tiny",
    *,
    asked_first: int = 0,
    node: StoryNode | None = None,
) -> tuple[Breach, ...]:
    """node: another one than a server with a BIOS."""
    hosts, nodes = rack(1, 2)
    nodes = (node,) if node is not None else nodes
    hosts = hosts[asked_first:] + hosts[:asked_first]
    story = Story(
        name="mutant",
        hosts=hosts,
        nodes=nodes,
        requests=(
            Deploy(instance="web", image=image, node="n1"),
            Delete(instance="web", when=AtTime(400.0)),
        ),
        strikes=strikes,
        images=(image,),
        safety_s=600.0,
    )
    result = play_story(story, Fidelity.MODEL, seed).result
    assert result.verdict is not Verdict.INFRA, result.trouble
    return result.breaches


FROZEN_AT_S = tuple(product((4.0 + 0.3 * number for number in range(15)), range(1, 10)))
"""When the owner stands still, and the seed."""


def thawed_with_a_write_in_flight(at_s: float, seed: int) -> set[str]:
    """The owner stands still while the other host finishes the deploy, with a write half way to the store, or
    not, as the seed will have it. The other is the client's, so that it hears of the end before the write
    comes."""
    slow = strike("db.slow", 0.0, None, delay_s=0.4)
    return broken_promises((slow, strike("host.stop", at_s, 200.0)), seed, asked_first=1)


SWITCHES_ON = OnEvent("bmc", "chassis.power.on", "n1")
SWITCHES_OFF = OnEvent("bmc", "chassis.power.off", "n1")

CUT_OFF_AFTER_S = tuple((0.5 * number,) for number in range(24))
"""Since the node was switched on. A host that is cut off from the store serves what its nodes boot for
three seconds or more; one that took over a second after its last beat would serve it as well. The node asks
again and again as it boots, so that some of its questions fall between the two, whatever its steps take."""


def cut_off_while_its_node_boots(after_s: float) -> set[str]:
    cut = strike(
        "host.partition", replace(SWITCHES_ON, after_s=after_s), 30.0, host="owner", **{"from": "store"}
    )
    return broken_promises((cut,), 1)


def served_by_two(service: str, after_s: float) -> set[str]:
    """Promises that are broken by one service. A board boots with U-Boot, which has all of it by TFTP."""
    board = family("arm64", "uboot") if service == "tftp" else None
    on = (
        OnEvent("pdu", "outlet.on", "n1", after_s=after_s) if board else replace(SWITCHES_ON, after_s=after_s)
    )
    cut = strike("host.partition", on, 30.0, host="owner", **{"from": "store"})
    found = breaches(
        (cut,),
        1,
        board.images[0] if board else "tiny",
        node=board.node(1, "pdu") if board else None,
    )
    return {breach.promise for breach in found if f"({service} " in breach.what}


LATE_AT = tuple(product((6.5, 7.0, 7.5), range(1, 7)))
"""When the owner is cut off, since the first command to switch the node off, and the seed."""


def late_command_of_a_lost_owner(cut_off_after_s: float, seed: int) -> set[str]:
    """The owner's lease runs out while it waits for a BMC that has swallowed its command. It would send that
    anew in the last seconds of the lease, and the BMC would acknowledge it at once and carry it out after the
    lease's end, when another host has taken over.

    Neither the end of the owner's workers nor that of its children, each of which comes in time, calls back
    what the BMC has taken: the margin alone keeps it from being sent.
    """
    cut_off = replace(SWITCHES_OFF, after_s=cut_off_after_s)
    return broken_promises(
        (
            strike("bmc.ack_not_done", 0.0, None, count=1, for_commands=["chassis.power.off"]),
            strike("bmc.late", replace(SWITCHES_OFF, after_s=1.0), None, count=1, by_s=3.0),
            strike("host.partition", cut_off, 60.0, host="owner", **{"from": "store"}),
        ),
        seed,
    )


IN_MID_COMMAND_S = ((0.05,), (1.0,), (2.0,))
"""When something befalls the owner, since its BMC took a command that it carries out three seconds later."""


def in_mid_command(fault: str, after_s: float, **parameters: Any) -> set[str]:
    """To the owner's process. Its end doesn't call back what the BMC has taken."""
    late = strike("bmc.late", 0.0, None, count=1, by_s=3.0, for_commands=["chassis.power.off"])
    befalls = strike(fault, replace(SWITCHES_OFF, after_s=after_s), None, host="owner", **parameters)
    return broken_promises((late, befalls), 1)


ended_in_mid_command = partial(in_mid_command, "host.end", at_once=True)
started_again_in_mid_command = partial(in_mid_command, "host.restart")


STANDS_STILL_AT = tuple(product((0.1, 0.6), (1, 2)))
"""When, since its writer has begun, and the seed."""


def writer_of_an_owner_that_stands_still(after_s: float, seed: int) -> set[str]:
    """The owner stands still with its image writer at work, and its lease guard, which would end that one,
    was killed just before. The host that takes over exports the disk anew, which ends the writer's session;
    the writer logs in again by itself: the new target's name and secret alone are in its way.

    The owner wakes up before the node boots anew: its DHCP server, a child too, would answer it.
    """
    begins = OnEvent("iscsi", "write", "n1", after_s=after_s)
    frozen = strike("host.stop", begins, 12.0, host="owner", unguarded=True)
    return broken_promises((frozen,), seed, image="debian")


def test_sound_owners_break_no_promise() -> None:
    """Where no mutant is caught, too."""
    played = (
        *(cut_off_while_its_node_boots(*when) for when in CUT_OFF_AFTER_S[::6]),
        *(late_command_of_a_lost_owner(*when) for when in LATE_AT),
        *(ended_in_mid_command(*when) for when in IN_MID_COMMAND_S),
        *(started_again_in_mid_command(*when) for when in IN_MID_COMMAND_S),
        *(writer_of_an_owner_that_stands_still(*when) for when in STANDS_STILL_AT),
        *(thawed_with_a_write_in_flight(*when) for when in FROZEN_AT_S[::12]),
    )
    assert set().union(*played) == set()


@contextmanager
def broken(
    play: Callable[..., set[str]], schedules: Iterable[tuple[Any, ...]], *promises: str
) -> Iterator[pytest.MonkeyPatch]:
    """Owners as they are made within, by the patch, break one of `promises` in one of the schedules. As they
    are without it they keep all in that same one: else it is the stage that is caught."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
        caught_at = next((when for when in schedules if play(*when) & set(promises)), None)
    assert caught_at is not None, "nobody was caught"
    assert play(*caught_at) == set(), caught_at


def test_a_write_without_a_look_at_the_fence_is_caught() -> None:
    # Few writes do harm so late: those that say what an active node is to have done to it.
    with broken(thawed_with_a_write_in_flight, FROZEN_AT_S, "active_node_untouched") as patch:
        patch.setattr(NodeLedger, "_expected", lambda self: {})


def test_a_takeover_before_the_lease_has_run_out_is_caught() -> None:
    left_s = Membership.left_s

    def impatient(self: Membership, row: Host, now_s: float) -> float:
        return left_s(self, row, now_s + 4.0)

    with broken(cut_off_while_its_node_boots, CUT_OFF_AFTER_S, "one_owner", "one_publisher") as patch:
        patch.setattr(Membership, "left_s", impatient)


@pytest.mark.parametrize("service", ["dhcp", "tftp", "http"])
def test_a_host_that_serves_on_without_its_lease_is_caught_by_what_it_serves(service: str) -> None:
    async def serve_on(self: Publications) -> bool:
        return True

    with broken(partial(served_by_two, service), CUT_OFF_AFTER_S, "one_publisher") as patch:
        patch.setattr(Publications, "withdraw_all", serve_on)


def test_a_bmc_command_that_may_outlast_the_lease_is_caught() -> None:
    async def alive_is_enough(self: LeaseKeeper, duration_s: float, *, changes: bool = True) -> None:
        self._held()

    with broken(late_command_of_a_lost_owner, LATE_AT, "one_owner") as patch:
        patch.setattr(LeaseKeeper, "cover", alive_is_enough)


def test_a_lease_that_is_given_back_in_mid_command_is_caught() -> None:
    async def at_once(self: LeaseKeeper) -> None:
        pass

    with broken(ended_in_mid_command, IN_MID_COMMAND_S, "one_owner") as patch:
        patch.setattr(LeaseKeeper, "commands_end", at_once)


def test_a_process_that_acts_while_its_forerunners_command_is_under_way_is_caught() -> None:
    with broken(started_again_in_mid_command, IN_MID_COMMAND_S, "one_owner") as patch:
        patch.setattr(stage, "LONGEST_COMMAND_S", 0.0)


def test_a_resumed_write_to_the_target_of_the_write_before_is_caught() -> None:
    def always_the_same(ctx: StepContext, attempt: int) -> tuple[str, str]:
        return f"iqn.2026-11.provisioner:{ctx.node.id}", "known-to-every-owner"

    with broken(writer_of_an_owner_that_stands_still, STANDS_STILL_AT, "one_owner") as patch:
        patch.setattr(image, "new_target", always_the_same)

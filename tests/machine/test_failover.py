"""A compute host is killed, frozen or cut off in each step, on real machines; whoever lives finishes it.

The judges are the invariants of scenarios, which know nothing of the provisioner: they read what BMCs, wires
and disks tell. `script/test` plays the representatives, `script/test --full` all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from provisioner.core.plan import PLANS
from scenarios.runner.play import play_story
from scenarios.runner.report import failure_text
from scenarios.runner.stage import Fidelity
from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Verdict
from tests.failover_stories import FAULTS, LOSES_ITS_NODES, OTHER_STEPS, STEPS, owners, story

pytestmark = pytest.mark.machine

BEFALLS = (
    *("killed", "frozen", "cut off from the store", "cut off from the nodes", "cut off from both"),
    "with a store that goes away",
)

IN_FULL_ALONE = ("told to end", "told to end at once")
"""Of these no cell is a representative."""

BOOTS = ("set_boot_device", "power_on", "agent_ready", "publish_instance_boot", "reboot", "instance_running")
BOOTS_ALONE = ("uefi", "grub", "uboot-arm64")
"""Of these ways the steps in which a node boots: the others are those of a server with a BIOS, or of another
board."""

ALL_STEPS = [
    *(("", plan, step) for plan, step in STEPS),
    *((way, plan, step) for way, plan, step in OTHER_STEPS if way not in BOOTS_ALONE or step in BOOTS),
]
"""Way of booting (empty: a server with a BIOS), plan, step."""

REPRESENTATIVES = {
    # Each a step further; in mid-write it is killed by the demo and by stories as well.
    ("", "deploy-iscsi", "agent_ready", "cut off from the store"),
    ("", "deploy-iscsi", "export_disk", "frozen"),
    ("", "deploy-iscsi", "write_image", "cut off from the nodes"),
    ("", "deploy-iscsi", "verify_image", "killed"),
    ("", "deploy-iscsi", "partition_disk", "with a store that goes away"),
    ("", "deploy-iscsi", "instance_running", "cut off from both"),
    ("", "deploy-nfs", "reboot", "killed"),
    ("", "clean", "wipe", "frozen"),
    ("uboot-arm64", "deploy-iscsi", "power_on", "cut off from both"),
    ("uboot-nfs", "deploy-nfs", "instance_running", "killed"),
    ("tilera", "deploy-tilera", "set_board_network", "frozen"),
}

NEEDS_NO_NODE = (
    *("withdraw_boot", "withdraw_instance", "publish_boot", "publish_instance_boot"),
    *("make_root", "remove_root"),
)
"""Steps in which a host asks nothing of a node or of its devices: a cut between them may pass unseen."""

TAKES_NO_TIME = {
    "deploy-tilera": ("set_board_network", "start_board_sshd", "instance_running", "filter_board_packets")
}
"""Commands to a board that is up, and the look at the SSH server that it has started by then."""


def cells() -> Iterator[object]:
    for place, befalls in product(ALL_STEPS, (*BEFALLS, *IN_FULL_ALONE)):
        cell = (*place, befalls)
        marks = () if cell in REPRESENTATIVES else (pytest.mark.full,)
        yield pytest.param(*cell, marks=marks)


@pytest.mark.parametrize(("way", "plan", "step", "befalls"), list(cells()))
def test_whoever_lives_finishes_it(way: str, plan: str, step: str, befalls: str) -> None:
    again = ends_at_once(plan, step)
    told = story(plan, step, befalls, release=again or plan.startswith("clean"), again=again, way=way)
    played = play_story(told, Fidelity.MACHINE, 1)
    assert played.result.verdict is Verdict.PASS, failure_text(played)
    if befalls in LOSES_ITS_NODES:
        assert len(set(owners(played.trace))) == 2, "nobody took over"
    if befalls != "cut off from the nodes" or step not in NEEDS_NO_NODE:
        assert has_struck(played.trace, FAULTS[befalls][0]), "the fault did nothing: it proves nothing"


def ends_at_once(plan: str, step: str) -> bool:
    """Whether the owner may have ended its work before the fault reaches it, which the model strikes within
    the step: the node is deployed again then, and the fault comes between the two."""
    names = [spec.name for spec in PLANS[plan].steps]
    quick = NEEDS_NO_NODE + TAKES_NO_TIME.get(plan, ())
    return all(name in quick for name in names[names.index(step) :])


def has_struck(trace: Trace, fault: str) -> bool:
    """Whether some device tells that the fault changed something."""
    struck = (event for event in trace if (event.source, event.name) == ("fault", "struck"))
    return any(event.detail.get("fault") == fault for event in struck)


def test_the_representatives_are_of_the_matrix() -> None:
    assert {(*place, befalls) for place, befalls in product(ALL_STEPS, BEFALLS)} >= REPRESENTATIVES
    assert {befalls for *_, befalls in REPRESENTATIVES} == set(BEFALLS)
    assert len({step for _, plan, step, _ in REPRESENTATIVES if plan == "deploy-iscsi"}) >= len(BEFALLS)
    assert {way for way, *_ in REPRESENTATIVES} >= {"", "uboot-arm64", "uboot-nfs", "tilera"}

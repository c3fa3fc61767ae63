"""Of what the provisioner says of itself, invariants hear what ADR 31 names, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scenarios.runner.invariants import INVARIANTS, Invariant
from scenarios.runner.invariants.off_when_offered import OffWhenOffered
from scenarios.runner.invariants.one_owner import OneOwner
from scenarios.runner.invariants.one_publisher import OnePublisher
from scenarios.runner.invariants.seen_running import SeenRunning
from scenarios.runner.invariants.wiped_before_offered import WipedBeforeOffered
from scenarios.runner.stage import DiskTruth
from tests.unit.invariants.watched import Watched

SAID = frozenset(("step", "node", "instance", "lease"))
"""Sources of what the provisioner alone says."""

BELIEVED: dict[Callable[[], Invariant], set[str]] = {
    OneOwner: {"lease"},
    OnePublisher: {"lease"},
    OffWhenOffered: {"node"},
    WipedBeforeOffered: {"node"},
}


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_no_other_word_of_the_provisioners_reaches_an_invariant(invariant: Callable[[], Invariant]) -> None:
    assert SAID.intersection(invariant().sources) == BELIEVED.get(invariant, set())


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_nobody_breaks_a_promise_by_what_the_provisioner_says_of_devices(
    invariant: Callable[[], Invariant],
) -> None:
    """As timelines do, of agents that report."""
    watched = Watched(invariant())
    watched.deployed()
    watched.told_node("n2", "available")
    watched.lab.disks["n2"] = DiskTruth(image="", blank=False)
    for sender in ("ch1", "ch2", "ch1"):
        for node in ("n1", "n2"):
            watched.said("bmc", "chassis.power.off", node, sender, result="ok")
            watched.said("agent", "command", node, sender, command="wipe")
            watched.said("iscsi", "write", node, sender)
            watched.said("dhcp", "offer", node, sender, exchange=1)
            watched.said("http", "sent", node, sender, file="kernel", offered_to="n3")
            watched.said("machine", "instance", node, sender, image="debian")
        watched.said("host", "crashed", "", sender, host=sender, error="KeyError")
    watched.node_state("n2", "available")
    watched.told_instance("web", "active", "n1")
    assert not watched.end()


def test_that_a_system_ran_is_not_believed_either() -> None:
    watched = Watched(SeenRunning())
    watched.asked("deploy", "n1", instance="web", image="tiny")
    watched.said("machine", "instance", "n1", "ch1", image="tiny")
    watched.told_instance("web", "active", "n1")
    assert "its system never ran" in watched.end()[0].what

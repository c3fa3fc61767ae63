"""What ACTIVE means, and that it is respected."""

from __future__ import annotations

import pytest

from scenarios.runner.invariants.active_node_untouched import ActiveNodeUntouched
from scenarios.runner.invariants.bytes_equal_image import BytesEqualImage
from scenarios.runner.invariants.seen_running import SeenRunning
from scenarios.runner.stage import DiskTruth
from tests.unit.invariants.watched import Watched


@pytest.mark.parametrize(
    ("source", "name", "detail"),
    [
        ("bmc", "chassis.power.off", {"result": "ok"}),
        ("bmc", "chassis.power.reset", {"result": "ok"}),
        ("pdu", "outlet.off", {"result": "ok"}),
        ("iscsi", "write", {}),
        ("iscsi", "login", {"result": "ok"}),
        ("agent", "command", {"command": "wipe"}),
        ("monitor", "ifconfig", {"result": "ok"}),
    ],
)
def test_an_active_node_that_is_touched_is_seen(source: str, name: str, detail: dict[str, str]) -> None:
    watched = Watched(ActiveNodeUntouched())
    watched.device(source, name, "n1", "ch1", **detail)
    watched.deployed()
    watched.device(source, name, "n2", "ch1", **detail)
    assert not watched.breaches
    watched.device(source, name, "n1", "ch1", **detail)
    assert "whose instance is active" in watched.breaches[0].what


@pytest.mark.parametrize(("source", "name"), [("pdu", "outlet.off"), ("bmc", "chassis.power.off")])
def test_who_was_refused_at_an_active_node_has_done_it_no_harm(source: str, name: str) -> None:
    watched = Watched(ActiveNodeUntouched())
    watched.deployed()
    watched.device(source, name, "n1", "ch1", result="refused: the outlet is locked")
    assert not watched.end()


def test_who_reads_the_console_of_an_active_board_touches_nothing() -> None:
    watched = Watched(ActiveNodeUntouched())
    watched.deployed()
    watched.device("monitor", "dmesg", "n1", "ch1", result="ok")
    assert not watched.end()


def test_what_a_board_was_told_before_it_was_active_may_be_read_later() -> None:
    watched = Watched(ActiveNodeUntouched())
    watched.deployed()
    watched.told_instance("web", "active", "n1")
    watched.late(2.5, "monitor", "/usr/sbin/sshd", "n1", "ch1")
    assert not watched.breaches
    watched.late(0.5, "monitor", "/usr/sbin/sshd", "n1", "ch1")
    assert "whose instance is active" in watched.breaches[0].what


def test_a_system_that_cannot_be_seen_yet_is_looked_for_at_the_end() -> None:
    for running, broken in (("tiny", 0), ("", 1)):
        watched = Watched(SeenRunning())
        watched.asked("deploy", "n1", instance="web", image="tiny")
        watched.lab.systems["n1"] = None
        watched.told_instance("web", "active", "n1")
        assert not watched.breaches
        watched.lab.ran_after_all["n1"] = (running,)
        assert len(watched.end()) == broken


def test_each_that_could_not_be_looked_at_is_looked_at_in_the_end() -> None:
    watched = Watched(SeenRunning())
    watched.lab.systems["n1"] = None
    for instance in ("web", "web-2"):
        watched.asked("deploy", "n1", instance=instance, image="tiny")
        watched.told_instance(instance, "active", "n1")
        watched.asked("delete", "n1", instance=instance)
        watched.told_instance(instance, "deleted", "n1")
    watched.lab.ran_after_all["n1"] = ("tiny", "")
    assert ["its system never ran" in breach.what for breach in watched.end()] == [True]


def test_the_next_instance_may_be_told_of_before_the_end_of_the_one_before_it() -> None:
    """Its client waited for an answer of a compute host that stood still."""
    for invariant in (BytesEqualImage(), SeenRunning()):
        watched = Watched(invariant)
        watched.deployed("web", image="tiny")
        watched.asked("delete", instance="web")
        watched.deployed("next", image="debian")
        watched.told_instance("web", "deleted", "n1")
        assert not watched.end()


def test_who_asked_for_it_may_have_it_touched() -> None:
    watched = Watched(ActiveNodeUntouched())
    watched.deployed(node="n1")
    watched.asked("delete", instance="web")
    watched.device("bmc", "chassis.power.off", "n1", "ch1", result="ok")
    watched.deployed("other", node="n2")
    watched.asked("power", "n2", verb="cycle")
    watched.device("bmc", "chassis.power.cycle", "n2", "ch1", result="ok")
    assert not watched.end()


def test_who_had_it_switched_once_has_not_asked_for_ever() -> None:
    watched = Watched(ActiveNodeUntouched())
    watched.deployed()
    watched.asked("power", "n1", verb="cycle")
    watched.device("bmc", "chassis.power.cycle", "n1", "ch1", result="ok")
    watched.told_power("n1", "done", verb="cycle")
    for _ in range(9):
        watched.device("bmc", "chassis.power.cycle", "n1", "ch1", result="ok")
    assert not watched.breaches
    watched.host("started", "ch2")
    watched.device("bmc", "chassis.power.cycle", "n1", "ch1", result="ok")
    assert "whose instance is active" in watched.breaches[0].what


def test_who_asks_for_power_has_not_asked_for_any_command() -> None:
    watched = Watched(ActiveNodeUntouched())
    watched.deployed()
    watched.asked("power", "n1", verb="on")
    watched.device("bmc", "chassis.power.cycle", "n1", "ch1", result="ok")
    assert "whose instance is active" in watched.breaches[0].what


def test_a_disk_that_holds_something_else_is_seen() -> None:
    watched = Watched(BytesEqualImage())
    watched.asked("deploy", "n1", instance="web", image="tiny")
    watched.lab.disks["n1"] = DiskTruth(image="", blank=False)
    watched.told_instance("web", "active", "n1")
    assert "no whole image instead of tiny" in watched.breaches[0].what


def test_a_disk_that_cannot_be_read_now_is_read_at_the_end() -> None:
    watched = Watched(BytesEqualImage())
    watched.asked("deploy", "n1", instance="web", image="tiny")
    watched.told_instance("web", "active", "n1")
    assert not watched.breaches
    watched.lab.disks["n1"] = DiskTruth(image="debian", blank=False)
    assert "holds debian instead of tiny" in watched.end()[0].what


def test_what_ran_for_the_instance_before_is_no_proof_of_the_next_one() -> None:
    """Its root came by NFS: no ramdisk ran in between."""
    watched = Watched(SeenRunning())
    watched.deployed("web")
    watched.asked("delete", "n1", instance="web")
    watched.told_instance("web", "deleted", "n1")
    watched.asked("deploy", "n1", instance="next", image="tiny")
    watched.lab.systems["n1"] = ""
    watched.told_instance("next", "active", "n1")
    assert "its system never ran" in watched.breaches[0].what


def test_what_ran_counts_though_another_that_waited_for_the_node_is_deleted() -> None:
    watched = Watched(SeenRunning())
    watched.asked("deploy", "n1", instance="web", image="tiny")
    watched.asked("deploy", "n1", instance="waits", image="tiny")
    watched.told_instance("web", "deploying", "n1")
    watched.device("machine", "instance", "n1", image="tiny")
    watched.asked("delete", "n1", instance="waits")
    watched.told_instance("web", "active", "n1")
    assert not watched.end()


def test_active_without_a_running_system_is_seen() -> None:
    watched = Watched(SeenRunning())
    watched.deployed()
    assert not watched.breaches
    watched.device("machine", "agent", "n1")
    watched.lab.systems.clear()
    watched.told_instance("web", "active", "n1")
    assert "its system never ran" in watched.breaches[0].what

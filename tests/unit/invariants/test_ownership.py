"""One owner, one publisher."""

from __future__ import annotations

import pytest

from scenarios.runner.invariants.one_owner import OneOwner
from scenarios.runner.invariants.one_publisher import OnePublisher
from tests.unit.invariants.watched import Watched


def test_a_host_that_is_followed_by_another_and_stays_away_is_fine() -> None:
    watched = Watched(OneOwner())
    for sender in ("ch1", "ch1", "ch2", "ch2"):
        watched.device("bmc", "chassis.power.on", "n1", sender, result="ok")
    watched.device("bmc", "chassis.power.on", "n2", "ch1", result="ok")
    assert not watched.end()


def test_a_host_that_comes_back_after_another_took_over_is_seen() -> None:
    watched = Watched(OneOwner())
    for sender in ("ch1", "ch2", "ch1"):
        watched.device("bmc", "chassis.power.off", "n1", sender, result="ok")
    (breach,) = watched.end()
    assert "ch1 acted on n1" in breach.what
    assert breach.event == 2


def test_a_host_that_gives_a_board_commands_after_another_took_over_is_seen() -> None:
    watched = Watched(OneOwner())
    for sender, command in (
        ("ch1", "ifconfig"),
        ("ch2", "ifconfig"),
        ("ch1", "dmesg"),
        ("ch1", "/usr/sbin/sshd"),
    ):
        watched.device("monitor", command, "n1", sender, result="ok")
    (breach,) = watched.end()
    assert "ch1 acted on n1 (monitor /usr/sbin/sshd)" in breach.what


def test_who_comes_back_as_another_process_is_another() -> None:
    watched = Watched(OneOwner())
    for sender in ("ch1", "ch2", "ch1#2"):
        watched.device("agent", "command", "n1", sender, command="wipe")
    assert not watched.end()


def test_who_is_given_the_node_again_under_a_newer_fence_may_act_again() -> None:
    watched = Watched(OneOwner())
    for fence, owner in ((1, "ch1"), (2, "ch2"), (3, "ch1")):
        watched.device("lease", "owner", "n1", owner=owner, fence=fence)
        watched.device("bmc", "chassis.power.on", "n1", owner, result="ok")
    assert not watched.end()


def test_who_is_given_the_node_again_under_the_same_fence_may_not() -> None:
    watched = Watched(OneOwner())
    for owner in ("ch1", "ch2", "ch1"):
        watched.device("lease", "owner", "n1", owner=owner, fence=2)
        watched.device("bmc", "chassis.power.on", "n1", owner, result="ok")
    (breach,) = watched.end()
    assert "ch1 acted on n1" in breach.what


def test_an_owner_that_acts_for_the_first_time_after_its_follower_is_seen() -> None:
    watched = Watched(OneOwner())
    for fence, owner in ((1, "ch1"), (2, "ch2")):
        watched.device("lease", "owner", "n1", owner=owner, fence=fence)
    watched.device("agent", "command", "n1", "ch2", command="export_disk")
    watched.device("iscsi", "write", "n1", "ch1", iqn="of the time before")
    (breach,) = watched.end()
    assert "ch1 acted on n1 (iscsi write) after ch2" in breach.what


def test_an_owner_of_before_that_is_let_in_by_a_real_disk_is_seen() -> None:
    watched = Watched(OneOwner())
    for fence, owner in ((1, "ch1"), (2, "ch2")):
        watched.device("lease", "owner", "n1", owner=owner, fence=fence)
    watched.device("iscsi", "login", "n1", "ch2", result="ok")
    watched.device("iscsi", "login", "n1", "ch1", result="refused: 0x0201")
    assert not watched.breaches
    watched.device("iscsi", "login", "n1", "ch1", result="ok")
    (breach,) = watched.end()
    assert "ch1 acted on n1 (iscsi login) after ch2" in breach.what


def test_a_process_that_acts_after_its_hosts_next_one_is_seen() -> None:
    watched = Watched(OneOwner())
    watched.device("lease", "owner", "n1", owner="ch1", fence=1)
    for sender in ("ch1", "ch1#2", "ch1"):
        watched.device("pdu", "outlet.off", "n1", sender, result="ok")
    (breach,) = watched.end()
    assert "ch1 acted on n1 (pdu outlet.off) after ch1#2" in breach.what


def late_by(seconds: int) -> Watched:
    """A BMC was told to by ch1, acknowledged it, and does it so much later: n1 is ch2's by then."""
    watched = Watched(OneOwner())
    watched.device("lease", "owner", "n1", owner="ch1", fence=1)
    watched.device("bmc", "chassis.power.on", "n1", "ch1", result=f"ok: in {seconds} s")
    watched.device("lease", "owner", "n1", owner="ch2", fence=2)
    for _ in range(seconds - 2):
        watched.device("bmc", "chassis.power.on", "n1", "ch2", result="ok")
    assert not watched.breaches
    watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok")
    return watched


def test_what_a_bmc_does_late_is_its_senders_as_long_as_commands_may_take() -> None:
    assert "ch1 acted on n1" in late_by(4).breaches[0].what
    assert not late_by(5).end()


def test_a_command_is_no_late_one_because_another_is_due_or_was() -> None:
    watched = late_by(9)
    watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok")
    assert "ch1 acted on n1" in watched.breaches[0].what
    watched = Watched(OneOwner())
    watched.device("lease", "owner", "n1", owner="ch1", fence=1)
    watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok: in 9 s")
    watched.device("lease", "owner", "n1", owner="ch2", fence=2)
    watched.device("bmc", "chassis.power.on", "n1", "ch2", result="ok")
    watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok")
    assert "ch1 acted on n1" in watched.breaches[0].what


def test_each_of_two_late_commands_is_due_for_itself() -> None:
    """A second apart, and each done nine seconds after it was given."""
    watched = Watched(OneOwner())
    watched.device("lease", "owner", "n1", owner="ch1", fence=1)
    for _ in range(2):
        watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok: in 9 s")
    watched.device("lease", "owner", "n1", owner="ch2", fence=2)
    for _ in range(6):
        watched.device("bmc", "chassis.power.on", "n1", "ch2", result="ok")
    for _ in range(2):
        watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok")
    assert not watched.breaches
    watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok")
    assert "ch1 acted on n1" in watched.breaches[0].what


def test_two_nodes_have_an_owner_each() -> None:
    watched = Watched(OneOwner())
    for node, owner in (("n1", "ch1"), ("n2", "ch2")):
        watched.device("lease", "owner", node, owner=owner, fence=5)
    for node, owner in (("n1", "ch1"), ("n2", "ch2"), ("n1", "ch1")):
        watched.device("bmc", "chassis.power.on", node, owner, result="ok")
    assert not watched.end()


def test_a_command_that_the_agent_refused_is_no_act() -> None:
    watched = Watched(OneOwner())
    for sender, result in (("ch1", "ok"), ("ch2", "ok"), ("ch1", "refused: 403")):
        watched.device("agent", "command", "n1", sender, command="wipe", result=result)
    assert not watched.breaches
    watched.device("agent", "command", "n1", "ch1", command="wipe", result="ok")
    assert "ch1 acted on n1 (agent command)" in watched.breaches[0].what


def test_reading_and_being_refused_is_no_act() -> None:
    watched = Watched(OneOwner())
    watched.device("bmc", "chassis.power.on", "n1", "ch1", result="ok")
    watched.device("bmc", "chassis.power.on", "n1", "ch2", result="ok")
    watched.device("bmc", "chassis.status", "n1", "ch1", result="ok")
    watched.device("bmc", "chassis.power.off", "n1", "ch1", result="0xC0 node busy")
    watched.device("iscsi", "refused", "n1", "ch1")
    assert not watched.end()


def test_two_offers_to_one_request_are_seen() -> None:
    watched = Watched(OnePublisher())
    watched.device("dhcp", "offer", "n1", "ch1", exchange=1)
    watched.device("dhcp", "offer", "n1", "ch2", exchange=2)
    assert not watched.breaches
    watched.device("dhcp", "offer", "n1", "ch1", exchange=2)
    assert "ch2 and ch1 both offered n1" in watched.breaches[0].what


def test_a_rival_on_the_wire_is_no_second_publisher() -> None:
    watched = Watched(OnePublisher())
    for sender in ("ch1", "", "ch1"):
        watched.device("dhcp", "offer", "n1", sender, exchange="0a0b0c0d")
    assert not watched.breaches
    watched.device("dhcp", "offer", "n1", "ch2", exchange="0a0b0c0d")
    assert "ch1 and ch2 both offered n1" in watched.breaches[0].what


def test_who_answers_after_the_one_before_has_died_is_no_second_one() -> None:
    watched = Watched(OnePublisher())
    for sender, end in (("ch1", "killed"), ("ch1#2", "ended"), ("ch1#3", "stopped")):
        watched.device("dhcp", "offer", "n1", sender, exchange=1)
        watched.host(end, "ch1")
    watched.host("killed", "ch2")
    assert not watched.breaches
    # One that is only stopped goes on one day.
    watched.device("dhcp", "offer", "n1", "ch2", exchange=1)
    assert "ch1#3 and ch2 both offered n1" in watched.breaches[0].what


def test_a_new_owner_answers_what_the_one_before_had_answered_and_no_other_does() -> None:
    """A host that is cut off lives, and has lost its lease: the node asks again."""
    watched = Watched(OnePublisher())
    watched.device("dhcp", "offer", "n1", "ch2", exchange=1)
    watched.device("dhcp", "offer", "n2", "ch2", exchange=2)
    watched.owner("n1", "ch1")
    watched.device("dhcp", "offer", "n1", "ch1", exchange=1)
    assert not watched.breaches
    watched.device("dhcp", "offer", "n1", "ch2", exchange=1)
    assert "ch1 and ch2 both offered n1" in watched.breaches[0].what
    watched.device("dhcp", "offer", "n2", "ch1", exchange=2)
    assert "ch2 and ch1 both offered n2" in watched.breaches[1].what


SERVES = {
    "DHCP, in an exchange of its own": ("dhcp", "offer", {}),
    "HTTP": ("http", "sent", {"file": "kernel"}),
    "TFTP": ("tftp", "sent", {"file": "loader"}),
}


@pytest.mark.parametrize("by", SERVES)
def test_who_serves_a_node_on_after_its_new_owner_began_to_is_seen(by: str) -> None:
    watched, (source, name, detail) = Watched(OnePublisher()), SERVES[by]
    for fence, owner in enumerate(("ch1", "ch2", "ch1"), 1):
        watched.owner("n1", owner, fence)
        for _ in range(2):
            watched.device(source, name, "n1", owner, **detail)
    assert not watched.breaches
    watched.device(source, name, "n1", "ch2", **detail)
    watched.device(source, name, "n2", "ch2", **detail)
    (breach,) = watched.end()
    assert breach.what == f"ch2 served n1 ({source} {name}) after ch1 had begun to at 7.0 s"


def test_what_another_serves_before_the_new_owner_begins_to_is_its_last() -> None:
    """It may have been on its way."""
    watched = Watched(OnePublisher())
    watched.owner("n1", "ch1", 1)
    watched.device("http", "sent", "n1", "ch1", file="kernel")
    watched.owner("n1", "ch2", 2)
    watched.device("http", "sent", "n1", "ch1", file="ramdisk")
    watched.device("http", "sent", "n1", "ch2", file="kernel")
    assert not watched.end()


def test_who_booted_an_agent_may_hear_its_report_later() -> None:
    watched = Watched(OnePublisher())
    for fence, owner in ((1, "ch1"), (2, "ch2")):
        watched.owner("n1", owner, fence)
        watched.device("tftp", "sent", "n1", owner, file="loader")
    watched.device("http", "sent", "n1", "ch1", file="hello")
    assert not watched.end()


def test_another_nodes_file_is_seen() -> None:
    watched = Watched(OnePublisher())
    watched.device("http", "sent", "n1", "ch1", file="kernel", offered_to="n1")
    assert not watched.breaches
    watched.device("http", "sent", "n1", "ch1", file="kernel", offered_to="n2")
    assert "which is n2's" in watched.breaches[0].what

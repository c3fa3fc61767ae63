"""Nodes that are nobody's, and what is told to anybody."""

from __future__ import annotations

from scenarios.runner.invariants.no_secret_told import NoSecretTold
from scenarios.runner.invariants.nothing_for_idle_nodes import NothingForIdleNodes
from scenarios.runner.invariants.wiped_before_offered import WipedBeforeOffered
from scenarios.runner.stage import DiskTruth
from tests.unit.invariants.watched import Watched


def test_a_used_node_that_is_offered_unwiped_is_seen() -> None:
    watched = Watched(WipedBeforeOffered())
    watched.lab.disks["n1"] = DiskTruth(image="", blank=False)
    watched.told_node("n1", "available")  # never used: whatever lies there was there before us
    watched.deployed()
    watched.told_node("n1", "available")
    assert "a whole tiny lies on its disk" in watched.breaches[0].what


def test_a_node_is_looked_at_when_it_is_offered_though_its_client_looks_later() -> None:
    watched = Watched(WipedBeforeOffered())
    watched.deployed()
    watched.node_state("n1", "cleaning")
    assert not watched.breaches
    watched.node_state("n1", "available")
    assert "a whole tiny lies on its disk" in watched.breaches[0].what


def test_a_part_of_an_image_on_a_disk_is_seen_too() -> None:
    watched = Watched(WipedBeforeOffered())
    watched.device("iscsi", "write", "n1", "ch1")
    watched.lab.disks["n1"] = DiskTruth(image="", blank=False)
    watched.told_node("n1", "available")
    assert "traces of its last instance" in watched.breaches[0].what


def test_a_disk_that_cannot_be_read_when_its_node_is_offered_is_read_at_the_end() -> None:
    for blank in (True, False):
        watched = Watched(WipedBeforeOffered())
        watched.device("iscsi", "login", "n1", "ch1", result="ok")
        watched.node_state("n1", "available")
        assert not watched.breaches
        watched.lab.disks["n1"] = DiskTruth(image="", blank=blank)
        assert bool(watched.end()) is not blank


def test_what_lies_on_the_disk_of_the_next_instance_is_its_own() -> None:
    watched = Watched(WipedBeforeOffered())
    watched.device("iscsi", "login", "n1", "ch1", result="ok")
    watched.node_state("n1", "available")
    watched.node_state("n1", "deploying")
    watched.lab.disks["n1"] = DiskTruth(image="tiny", blank=False)
    assert not watched.end()


def test_what_was_made_for_an_instance_that_never_ran_is_seen_when_its_node_is_offered() -> None:
    watched = Watched(WipedBeforeOffered())
    watched.lab.disks |= {node: DiskTruth(image="tiny", blank=False) for node in ("n1", "n2")}
    watched.told_instance("web", "deploying", "n1")
    for node in ("n1", "n2"):  # n2 was never given to anybody
        watched.node_state(node, "available")
        watched.node_state(node, "deploying")
    (breach,) = watched.end()
    assert "n1 is offered again" in breach.what


def test_an_answer_of_a_moment_ago_offers_no_node_that_has_its_next_instance() -> None:
    watched = Watched(WipedBeforeOffered())
    watched.node_state("n1", "deploying")
    watched.told_instance("web", "deploying", "n1")
    watched.lab.disks["n1"] = DiskTruth(image="tiny", blank=False)
    watched.told_node("n1", "available")
    assert not watched.end()


def test_a_wiped_node_may_be_offered() -> None:
    watched = Watched(WipedBeforeOffered())
    watched.deployed()
    watched.lab.disks["n1"] = DiskTruth(image="", blank=True)
    watched.told_node("n1", "available")
    assert not watched.end()


def test_a_file_for_a_node_that_nobody_deploys_is_seen() -> None:
    watched = Watched(NothingForIdleNodes())
    watched.told_node("n1", "available")
    watched.told_node("n2", "available")
    watched.asked("deploy", "n1", instance="web", image="tiny")
    watched.device("http", "sent", "n1", "ch1", file="kernel")
    assert not watched.breaches
    watched.device("tftp", "sent", "n2", "ch1", file="undionly.kpxe")
    assert "n2, which nobody deploys" in watched.breaches[0].what


def test_while_a_request_may_come_to_any_node_none_is_idle() -> None:
    watched = Watched(NothingForIdleNodes())
    watched.asked("deploy", instance="web", image="tiny")
    watched.device("http", "sent", "n2", "ch1", file="kernel")
    watched.told_instance("web", "deploying", "n2")
    watched.device("http", "sent", "n2", "ch1", file="kernel")
    assert not watched.end()


def test_a_request_that_ended_in_error_without_a_node_keeps_none_from_being_idle() -> None:
    watched = Watched(NothingForIdleNodes())
    watched.told_node("n2", "available")
    watched.asked("deploy", instance="web", image="tiny")
    watched.told_instance("web", "error")
    watched.device("http", "sent", "n2", "ch1", file="kernel")
    assert "n2, which nobody deploys" in watched.breaches[0].what


def test_a_node_is_in_use_until_it_is_offered_again_and_idle_then() -> None:
    watched = Watched(NothingForIdleNodes())
    watched.deployed()
    watched.asked("delete", instance="web")
    watched.told_instance("web", "deleted", "n1")
    watched.device("http", "sent", "n1", "ch1", file="kernel")  # the ramdisk that wipes it
    watched.told_node("n1", "available")
    assert not watched.breaches
    watched.lab.boots["n1"] = "boot.ipxe"
    assert "would still be given boot.ipxe" in watched.end()[0].what


def test_the_rest_of_a_file_may_come_after_its_node_was_offered_again_and_no_other() -> None:
    watched = Watched(NothingForIdleNodes())
    watched.deployed()
    watched.asked("delete", instance="web")
    watched.told_instance("web", "deleted", "n1")
    watched.device("http", "get", "n1", file="ramdisk")
    watched.told_node("n1", "available")
    watched.device("http", "sent", "n1", "ch1", file="ramdisk")
    assert not watched.breaches
    watched.device("http", "get", "n1", file="ramdisk")
    watched.device("http", "sent", "n1", "ch1", file="ramdisk")
    assert "n1, which nobody deploys, was sent ramdisk" in watched.breaches[0].what


def failed() -> Watched:
    """A deploy to n1, a moment ago."""
    watched = Watched(NothingForIdleNodes())
    watched.asked("deploy", "n1", instance="web", image="tiny")
    watched.told_instance("web", "building", "n1")
    watched.device("http", "sent", "n1", "ch1", file="kernel")
    watched.told_instance("web", "error", "n1")
    watched.device("http", "sent", "n1", "ch1", file="initrd")  # was on its way
    assert not watched.breaches
    return watched


def test_a_node_whose_deploy_failed_is_idle_though_it_keeps_its_instance() -> None:
    watched = failed()
    for _ in range(10):
        watched.told_node("n1", "deploy_failed")
    watched.device("http", "sent", "n1", "ch1", file="kernel")
    assert "n1, which nobody deploys, was sent kernel" in watched.breaches[0].what
    watched.lab.boots["n1"] = "boot.ipxe"
    assert "would still be given boot.ipxe" in watched.end()[-1].what


def test_what_a_node_would_be_given_at_the_end_has_no_time_after_its_failure() -> None:
    watched = failed()
    watched.lab.boots["n1"] = "boot.ipxe"
    assert "would still be given boot.ipxe" in watched.end()[0].what


def test_a_node_whose_failed_instance_is_to_go_is_in_use_again() -> None:
    watched = failed()
    watched.asked("delete", "n1", instance="web")
    for _ in range(20):
        watched.told_node("n1", "cleaning")
    watched.device("http", "sent", "n1", "ch1", file="kernel")  # the ramdisk that wipes it
    assert not watched.breaches


def test_a_failure_that_is_heard_of_after_its_deletion_was_asked_for_leaves_its_node_in_use() -> None:
    watched = Watched(NothingForIdleNodes())
    watched.asked("deploy", "n1", instance="web", image="tiny")
    watched.told_instance("web", "building", "n1")
    watched.asked("delete", "n1", instance="web")
    for _ in range(20):
        watched.told_instance("web", "error", "n1")
    watched.device("http", "sent", "n1", "ch1", file="kernel")
    assert not watched.end()


def test_a_secret_in_a_log_is_seen_and_not_told_again() -> None:
    watched = Watched(NoSecretTold())
    watched.lab.hidden += ["correct-horse", "abc"]
    watched.lab.logs += [("log", "user=admin abc"), ("answer to GET /v1/nodes", "password correct-horse")]
    (breach,) = watched.end()
    assert breach.what == "a secret stands in answer to GET /v1/nodes"

"""What lies around an image, and whether a node runs when it is offered: traces by hand."""

from __future__ import annotations

import pytest

from scenarios.runner.invariants.disk_as_ordered import DiskAsOrdered
from scenarios.runner.invariants.off_when_offered import OffWhenOffered
from scenarios.runner.stage import Around, DiskTruth
from tests.unit.invariants.watched import Watched

RIGHT = {"root_fills": True, "ephemeral_mib": 32, "swap_mib": 64, "hostname": "web"}


def ordered(around: Around | None, image: str = "tiny") -> Watched:
    watched = Watched(DiskAsOrdered())
    watched.asked("deploy", "n1", instance="web", image="tiny", ephemeral_mib=32, swap_mib=64)
    watched.lab.disks["n1"] = DiskTruth(image=image, blank=False, around=around)
    watched.told_instance("web", "active", "n1")
    return watched


def test_a_disk_as_it_was_ordered_is_right() -> None:
    assert not ordered(Around(**RIGHT)).end()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"root_fills": False}, "has a root file system that ends before its partition does"),
        ({"ephemeral_mib": 0}, "has 0 MiB of ephemeral storage instead of 32"),
        ({"swap_mib": 128}, "has 128 MiB of swap instead of 64"),
        ({"hostname": ""}, "has no config drive"),
        ({"hostname": "db"}, "has the config drive of db, and not of web"),
    ],
)
def test_what_is_not_as_ordered_is_told(wrong: dict[str, object], told: str) -> None:
    breaches = ordered(Around(**{**RIGHT, **wrong})).breaches  # type: ignore[arg-type]
    assert [breach.what for breach in breaches] == [
        f"the instance on n1 was called active, and its disk {told}"
    ]


def test_what_was_made_for_another_is_told() -> None:
    watched = Watched(DiskAsOrdered())
    for instance, made in (("web", "swap:1"), ("db", "swap:1"), ("mail", "swap:2")):
        watched.asked("deploy", "n1", instance=instance, image="tiny")
        around = Around(root_fills=True, hostname=instance, made=(made,))
        watched.lab.disks["n1"] = DiskTruth(image="tiny", blank=False, around=around)
        watched.told_instance(instance, "active", "n1")
        watched.told_instance(instance, "deleted", "n1")
    (breach,) = watched.end()
    assert breach.what.endswith("has what was made for web, and is db's")


@pytest.mark.parametrize(("around", "image"), [(None, "tiny"), (Around(), "debian")])
def test_of_a_root_by_nfs_or_without_the_image_nothing_is_said(around: Around | None, image: str) -> None:
    assert not ordered(around, image).end()


def released(*said: tuple[str, str, str]) -> Watched:
    """said: source, name and result of what devices tell before the node is offered."""
    watched = Watched(OffWhenOffered())
    watched.deployed()
    watched.device("machine", "on", "n1")
    for source, name, result in said:
        watched.device(source, name, "n1", "ch1", result=result)
    watched.node_state("n1", "available")
    return watched


@pytest.mark.parametrize(
    "said",
    [
        [("machine", "off", "ok")],
        [("bmc", "chassis.power.off", "ok")],
        [("pdu", "outlet.off", "ok"), ("machine", "off", "ok")],
        [("bmc", "chassis.power.on", "ok"), ("bmc", "chassis.power.off", "ok")],
    ],
)
def test_a_node_that_went_off_or_whose_device_said_so_is_off(said: list[tuple[str, str, str]]) -> None:
    assert not released(*said).end()


@pytest.mark.parametrize(
    "said",
    [
        [],
        [("bmc", "chassis.power.off", "0xC0 node busy")],
        [("machine", "off", "ok"), ("bmc", "chassis.power.on", "ok")],
        [("machine", "off", "ok"), ("pdu", "outlet.reboot", "ok")],
        [("pdu", "outlet.off", "ok")],
        [("bmc", "chassis.power.soft", "ok")],
    ],
)
def test_a_node_that_runs_when_it_is_offered_is_seen(said: list[tuple[str, str, str]]) -> None:
    (breach,) = released(*said).end()
    assert breach.what == "n1 is offered again, and it runs"


def test_what_comes_after_the_offer_does_not_count() -> None:
    off, on = released(("machine", "off", "ok")), released()
    for watched in (off, on):
        watched.device("machine", "post", "n2")
        watched.device("machine", "post", "n2")
    off.device("machine", "on", "n1")
    on.device("machine", "off", "n1")
    assert not off.end()
    assert on.end()


def test_each_offer_is_looked_at() -> None:
    watched = released(("machine", "off", "ok"))
    watched.deployed()
    watched.device("machine", "on", "n1")
    watched.node_state("n1", "available")
    assert len(watched.end()) == 1


def test_of_a_node_that_a_client_switches_or_whose_power_is_struck_nothing_is_said() -> None:
    by_hand, struck = released(), released()
    by_hand.asked("power", "n1", verb="on")
    struck.device("fault", "struck", "n1", fault="bmc.lies_about_power")
    assert not by_hand.end()
    assert not struck.end()


def test_each_offer_of_a_node_is_judged_by_what_befell_it_since_the_last() -> None:
    watched = released()
    watched.device("fault", "struck", "n1", fault="bmc.lies_about_power")
    for _ in range(10):
        watched.device("machine", "post", "n2")
    watched.deployed()
    watched.device("machine", "on", "n1")
    watched.node_state("n1", "available")
    assert len(watched.end()) == 1


def test_an_instance_that_never_came_to_its_node_is_none() -> None:
    watched = Watched(OffWhenOffered())
    watched.device("machine", "on", "n1")
    watched.told_instance("web", "deleted", "n1")
    watched.node_state("n1", "available")
    assert not watched.end()


def test_a_node_that_no_instance_has_had_may_run() -> None:
    watched = Watched(OffWhenOffered())
    watched.device("machine", "on", "n1")
    watched.node_state("n1", "available")
    assert not watched.end()

from __future__ import annotations

import pytest

from provisioner.core.diagnosis import (
    DISK_INSTANCE_LADDER,
    NETBOOT_INSTANCE_LADDER,
    RAMDISK_LADDER,
    Rung,
    diagnose,
)
from tests.unit.records import event

CLIMB = [
    event("power.on"),
    event("dhcp.discover"),
    event("dhcp.ack"),
    event("http.sent", file="boot.ipxe"),
    event("http.sent", file="kernel"),
    event("http.sent", file="ramdisk"),
    event("agent.hello"),
]


@pytest.mark.parametrize(
    ("rungs", "proven", "cause"),
    [
        (0, "nothing was seen", "never confirmed"),
        (1, "confirmed that the node is on", "no DHCP request was seen"),
        (2, "sent a DHCP request", "second DHCP server"),
        (3, "took its address", "boot script was never fetched"),
        (4, "boot script was fetched", "the kernel never was"),
        (5, "kernel was fetched", "the ramdisk never was"),
        (6, "ramdisk was fetched", "the agent never reported"),
        (7, "the agent in the ramdisk reported", "the console tells more"),
    ],
)
def test_the_first_missing_rung_names_the_likely_cause(rungs: int, proven: str, cause: str) -> None:
    found = diagnose(RAMDISK_LADDER, CLIMB[:rungs])
    assert proven in found.last_proven
    assert cause in found.likely_cause


def test_evidence_higher_up_counts_even_when_something_below_was_missed() -> None:
    found = diagnose(RAMDISK_LADDER, [event("http.sent", file="kernel")])
    assert found.last_proven == "the kernel was fetched"


def test_an_instance_that_boots_its_disk_is_not_expected_to_ask_for_dhcp() -> None:
    found = diagnose(DISK_INSTANCE_LADDER, [event("power.on")])
    assert "bootable" in found.likely_cause


def test_an_instance_that_netboots_is_followed_to_its_ramdisk() -> None:
    found = diagnose(NETBOOT_INSTANCE_LADDER, CLIMB[:6])
    assert found.last_proven == "the ramdisk was fetched"
    assert "root file system" in found.likely_cause


@pytest.mark.parametrize("ladder", [DISK_INSTANCE_LADDER, NETBOOT_INSTANCE_LADDER])
def test_an_instance_that_asked_for_its_metadata_is_known_to_run(ladder: tuple[Rung, ...]) -> None:
    found = diagnose(ladder, [event("power.on"), event("instance.metadata")])
    assert found.last_proven == "the instance asked for its metadata"
    assert "cloud-init failed" in found.likely_cause

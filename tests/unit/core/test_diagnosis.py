from __future__ import annotations

import pytest

from provisioner.config.node_file import BOOTS_OF_FIRMWARE
from provisioner.core.diagnosis import diagnose
from provisioner.core.ladders import (
    DISK_INSTANCE_LADDERS,
    NETBOOT_INSTANCE_LADDERS,
    RAMDISK_LADDERS,
    TILERA_LADDER,
    Ladder,
)
from tests.unit.records import event

BEGINNING = [event("power.on"), event("dhcp.discover"), event("dhcp.offer"), event("dhcp.ack")]

CLIMBS = {
    "ipxe": [
        *BEGINNING,
        event("http.sent", file="boot.ipxe"),
        event("http.sent", file="kernel"),
        event("http.sent", file="ramdisk"),
        event("agent.hello"),
    ],
    "uboot": [
        *BEGINNING,
        event("tftp.sent", file="boot.scr.uimg"),
        event("tftp.sent", file="kernel"),
        event("tftp.sent", file="ramdisk"),
        event("agent.hello"),
    ],
    "grub": [
        *BEGINNING,
        event("tftp.sent", file="grubaa64.efi"),
        event("tftp.sent", file="grub/grub.cfg"),
        event("tftp.sent", file="kernel"),
        event("tftp.sent", file="ramdisk"),
        event("agent.hello"),
    ],
    "tilera": [
        *BEGINNING,
        event("tftp.sent", file="5e1f/kernel"),
        event("board.ping"),
        event("board.root"),
        event("board.sshd"),
        event("instance.phone_home"),
    ],
}

# For each rung: what is the last thing proven, and the likely cause when nothing follows it.
TOLD = {
    "ipxe": [
        ("nothing was seen", "never confirmed"),
        ("confirmed that the node is on", "its outlets or BMC are another machine's"),
        ("sent a DHCP request", "couldn't write what the node is offered"),
        ("was offered its address", "second DHCP server"),
        ("took its address", "boot script was never fetched"),
        ("boot script was fetched", "the kernel never was"),
        ("kernel was fetched", "the ramdisk never was"),
        ("ramdisk was fetched", "the agent never reported"),
        ("the agent in the ramdisk reported", "the console tells more"),
    ],
    "uboot": [
        ("nothing was seen", "never confirmed"),
        ("confirmed that the node is on", "boot_targets has no dhcp"),
        ("sent a DHCP request", "couldn't write what the node is offered"),
        ("was offered its address", "second DHCP server"),
        ("took its address", "never fetched boot.scr.uimg"),
        ("U-Boot fetched its boot script", "kernel_addr_r is not set"),
        ("U-Boot fetched the kernel", "ramdisk_addr_r is not set"),
        ("U-Boot fetched the ramdisk", "overlap in memory"),
        ("the agent in the ramdisk reported", "the console tells more"),
    ],
    "grub": [
        ("nothing was seen", "never confirmed"),
        ("confirmed that the node is on", "no DHCP request was seen"),
        ("sent a DHCP request", "couldn't write what the node is offered"),
        ("was offered its address", "second DHCP server"),
        ("took its address", "GRUB was never fetched"),
        ("the firmware fetched GRUB", "Secure Boot"),
        ("GRUB fetched its script", "1 KiB at a time"),
        ("GRUB fetched the kernel", "the ramdisk never was"),
        ("GRUB fetched the ramdisk", "the agent never reported"),
        ("the agent in the ramdisk reported", "the console tells more"),
    ],
    "tilera": [
        ("nothing was seen", "never confirmed"),
        ("confirmed that the node is on", "no DHCP request was seen"),
        ("sent a DHCP request", "couldn't write what the node is offered"),
        ("was offered its address", "second DHCP server"),
        ("took its address", "never answered a ping"),  # or it has its kernel in CompactFlash
        ("the kernel was fetched by TFTP", "never answered a ping"),
        ("answered a ping", "doesn't switch this board"),
        ("runs on the root made for it", "has none at /usr/sbin/sshd"),
        ("its monitor started the SSH server", "never greeted"),
        ("the instance phoned home", "the console tells more"),
    ],
}


@pytest.mark.parametrize(
    ("boot_driver", "rungs"), [(driver, rungs) for driver, told in TOLD.items() for rungs in range(len(told))]
)
def test_the_first_missing_rung_names_the_likely_cause(boot_driver: str, rungs: int) -> None:
    ladder = {**RAMDISK_LADDERS, "tilera": TILERA_LADDER}[boot_driver]
    found = diagnose(ladder, CLIMBS[boot_driver][:rungs])
    proven, cause = TOLD[boot_driver][rungs]
    assert proven in found.last_proven
    assert cause in found.likely_cause


def test_every_way_to_boot_has_its_ladders() -> None:
    boots = {boot for boots in BOOTS_OF_FIRMWARE.values() for boot in boots}
    assert set(CLIMBS) == boots
    assert set(NETBOOT_INSTANCE_LADDERS) == boots
    assert set(RAMDISK_LADDERS) == set(DISK_INSTANCE_LADDERS) == boots - {"tilera"}


def test_either_name_of_grubs_script_proves_that_it_was_fetched() -> None:
    found = diagnose(RAMDISK_LADDERS["grub"], [event("tftp.sent", file="grub/arm64-efi/grub.cfg")])
    assert found.last_proven == "GRUB fetched its script"


def test_evidence_higher_up_counts_even_when_something_below_was_missed() -> None:
    found = diagnose(RAMDISK_LADDERS["ipxe"], [event("http.sent", file="kernel")])
    assert found.last_proven == "the kernel was fetched"


@pytest.mark.parametrize("boot_driver", ["ipxe", "grub"])
def test_an_instance_that_boots_its_disk_is_not_expected_to_ask_for_dhcp(boot_driver: str) -> None:
    found = diagnose(DISK_INSTANCE_LADDERS[boot_driver], [event("power.on")])
    assert "bootable" in found.likely_cause


@pytest.mark.parametrize(
    ("rungs", "cause"), [(1, "boot_targets has no dhcp"), (5, "neither extlinux.conf nor boot.scr")]
)
def test_a_board_asks_the_network_even_for_its_own_disk(rungs: int, cause: str) -> None:
    found = diagnose(DISK_INSTANCE_LADDERS["uboot"], CLIMBS["uboot"][:rungs])
    assert cause in found.likely_cause


@pytest.mark.parametrize("boot_driver", ["ipxe", "uboot", "grub"])
def test_an_instance_that_netboots_is_followed_to_its_ramdisk(boot_driver: str) -> None:
    found = diagnose(NETBOOT_INSTANCE_LADDERS[boot_driver], CLIMBS[boot_driver][:-1])
    assert "the ramdisk" in found.last_proven
    assert "root file system" in found.likely_cause


@pytest.mark.parametrize(
    "ladder",
    [
        ladders[driver]
        for ladders in (DISK_INSTANCE_LADDERS, NETBOOT_INSTANCE_LADDERS)
        for driver in RAMDISK_LADDERS
    ],
)
def test_an_instance_that_asked_for_its_metadata_is_known_to_run(ladder: Ladder) -> None:
    found = diagnose(ladder, [event("power.on"), event("instance.metadata")])
    assert found.last_proven == "the instance asked for its metadata"
    assert "cloud-init failed" in found.likely_cause

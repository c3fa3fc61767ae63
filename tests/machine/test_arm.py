"""Arm: boards that boot by U-Boot and hang on outlets, and servers with UEFI; from the request to a login."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.machine.commands import DEADLINES_S, eventually
from tests.machine.lab import Lab
from tests.machine.racks import BY_GANESHA, board, node, pdu, served_by_nfs

pytestmark = pytest.mark.machine

SETTINGS = {"power": {"discharge_s": 1}, "deploy": {"running_deadline_s": 120}}
"""QEMU has no capacitors."""

PATIENT = {**SETTINGS, "deploy": {"running_deadline_s": 400}}
"""Debian starts systemd and, three times, Python."""

KEYS = {"auth_key": "first-of-two-keys", "priv_key": "second-of-two-keys"}
SLOW: dict[str, Any] = {"on_s": 0.5, "off_s": 0.5, "answer_s": 0.2}
"""As the real thing, whose relays stagger inrush currents."""


def boots(lab: Lab) -> int:
    """How often it was given an address."""
    return of_its_addresses(lab, "dhcp.ack")


def of_its_addresses(lab: Lab, name: str) -> int:
    return sum("U-Boot" in event["text"] for event in lab.events() if event["name"] == name)


def sent(lab: Lab) -> set[str]:
    """What was fetched by TFTP."""
    return {event["text"].partition(" ")[0] for event in lab.events() if event["name"] == "tftp.sent"}


def went_off(lab: Lab) -> int:
    return sum(entry["command"] == "outlet.off" for entry in lab.audit())


@pytest.mark.parametrize(
    ("arch", "machine"),
    [("arm64", "aarch64"), pytest.param("armhf", "armv7l", marks=pytest.mark.full)],
)
def test_a_board_is_deployed_by_iscsi_with_debian_and_clean_after_its_deletion(
    new_lab: Callable[..., Lab], arch: str, machine: str
) -> None:
    """tiny on armhf is in scenarios/boards and in test_pdu."""
    user, image = {"name": "power", **KEYS}, f"debian-{arch}"
    pdus = [pdu("a", "raritan_pdu2", user=user, **SLOW)]
    lab = new_lab(board(arch), pdus=pdus, ramdisk_kernel="hardware", **PATIENT).ready(image)
    address = lab.runs("web", image)
    assert lab.ssh(address, "uname -m").strip() == machine
    assert lab.ssh(address, "hostname").strip() == "web"
    assert "VERSION_CODENAME=bookworm" in lab.ssh(address, "cat /etc/os-release")
    assert lab.ssh(address, "dpkg --audit") == "", "every package is configured"
    assert boots(lab) == 2, "each boot got its address once"
    # It asks again after a quarter of a second, then half of one: four times if the server tries an address.
    assert of_its_addresses(lab, "dhcp.discover") < 2 * 4
    if arch == "arm64":
        assert "kernel.gz" in sent(lab) and "kernel" not in sent(lab), "U-Boot unpacked it"
    lab.ends("web")
    assert not any(lab.disk("n1").read_bytes()[: 2**20])
    for secret in KEYS.values():
        assert secret not in lab.log()


@pytest.mark.parametrize(
    ("arch", "image", "family"),
    [
        pytest.param("arm64", "debian-arm64", "aten", marks=pytest.mark.full),
        ("armhf", "tiny-armhf", "vertivgeist_pdu"),
    ],
)
def test_a_board_runs_on_a_root_that_is_served_to_it_and_is_rebooted(
    new_lab: Callable[..., Lab], arch: str, image: str, family: str
) -> None:
    lab = new_lab(board(arch), pdus=[pdu("a", family, **SLOW)], nfs=BY_GANESHA, **PATIENT)
    lab.ready(image, change=served_by_nfs)
    address = lab.runs("web", image)
    assert "nfs4" in lab.ssh(address, "grep", "' / '", "/proc/mounts")
    is_cycled(lab, address)


@pytest.mark.full
def test_a_board_boots_its_own_disk_by_u_boot_and_again_after_a_power_cycle(
    new_lab: Callable[..., Lab],
) -> None:
    lab = new_lab(board("arm64"), pdus=[pdu("a", "aten", **SLOW)], **SETTINGS).ready("tiny-disk-arm64")
    address = lab.runs("web", "tiny-disk-arm64")
    assert lab.ssh(address, "hostname; uname -m").split() == ["web", "aarch64"]
    assert int(lab.ssh(address, "df -m / | tail -n 1 | awk '{print $2}'")) > 1500, "it fills the disk"
    assert disk_starts(lab) == 1
    is_cycled(lab, address)
    assert disk_starts(lab) == 2
    assert kernels_sent(lab) == 1, "the network gave the deploy ramdisk's alone"


def disk_starts(lab: Lab) -> int:
    """How often the script that hands a board over to its disk had U-Boot start the system there."""
    handed_over = r"provisioner: node n1 boots its own disk\s+"
    by_u_boot = r"Found /boot/extlinux/extlinux\.conf\s.*?Starting kernel \.\.\."
    before_a_reset = r"(?:(?!U-Boot 20).)*?"
    pattern = handed_over + before_a_reset + by_u_boot
    return len(re.findall(pattern, lab.console("n1"), re.DOTALL))


def kernels_sent(lab: Lab) -> int:
    return sum(event["name"] == "tftp.sent" and event["text"].startswith("kernel") for event in lab.events())


def is_cycled(lab: Lab, address: str) -> None:
    cycles, booted = went_off(lab), lab.boot_id(address)
    lab.cli("node", "power", "n1", "cycle")
    eventually(
        "it has booted again, its outlet off in between",
        lambda: went_off(lab) > cycles and lab.boot_id(address) not in ("", booted),
        DEADLINES_S["active"],
        1.0,
    )


def test_a_server_with_uefi_is_deployed_by_iscsi_and_boots_its_own_kernel(
    new_lab: Callable[..., Lab],
) -> None:
    # GRUB waits for each KiB: with other racks beside this one, for as long as a deploy may take at all.
    patience = {"boot_deadline_s": DEADLINES_S["active"], "running_deadline_s": DEADLINES_S["active"]}
    lab = new_lab(node(arch="arm64", firmware="uefi"), deploy=patience).ready("tiny-arm64")
    address = lab.runs("web", "tiny-arm64")
    assert lab.ssh(address, "uname -m").strip() == "aarch64"
    assert {"grubaa64.efi", "grub/grub.cfg"} <= sent(lab)

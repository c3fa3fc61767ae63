"""Arm: boards that boot by U-Boot and hang on outlets, and servers with UEFI; from the request to a login."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.machine.lab import DEADLINES_S, Lab, eventually
from tests.machine.racks import board, node, pdu
from tests.machine.test_nfs import served_by_nfs

pytestmark = pytest.mark.machine

SETTINGS = {"power": {"discharge_s": 1}, "deploy": {"running_deadline_s": 120}}
"""QEMU has no capacitors."""

KEYS = {"auth_key": "first-of-two-keys", "priv_key": "second-of-two-keys"}
SLOW: dict[str, Any] = {"on_s": 0.5, "off_s": 0.5, "answer_s": 0.2}
"""As the real thing, whose relays stagger inrush currents."""


def boots(lab: Lab) -> int:
    """How often it asked for an address."""
    asked = (event for event in lab.events() if event["name"] == "dhcp.discover")
    return sum("U-Boot" in event["text"] for event in asked)


def went_off(lab: Lab) -> int:
    return sum(entry["command"] == "outlet.off" for entry in lab.audit())


def test_a_board_is_deployed_by_iscsi_rebooted_and_clean_after_its_deletion(
    new_lab: Callable[..., Lab],
) -> None:
    """armhf is in scenarios/boards."""
    user = {"name": "power", **KEYS}
    lab = new_lab(board("arm64"), pdus=[pdu("a", "raritan_pdu2", user=user, **SLOW)], **SETTINGS)
    lab.register("tiny-arm64")
    lab.enrol()
    lab.node_becomes("available")
    lab.deploy("web", "tiny-arm64")
    address = lab.instance_becomes("active", "web")["address"]
    assert lab.ssh(address, "uname -m").strip() == "aarch64"
    assert lab.ssh(address, "hostname").strip() == "web"
    assert boots(lab) == 2, "each boot asked once for its address"
    is_cycled(lab, address)
    lab.cli("instance", "delete", "web")
    lab.node_becomes("available", deadline="deleted")
    assert not any(lab.disk("n1").read_bytes()[: 2**20])
    for secret in KEYS.values():
        assert secret not in lab.log()


def is_cycled(lab: Lab, address: str) -> None:
    cycles, booted = went_off(lab), boot_id(lab, address)
    lab.cli("node", "power", "n1", "cycle")
    eventually(
        "it has booted again, its outlet off in between",
        lambda: went_off(lab) > cycles and boot_id(lab, address) not in ("", booted),
        DEADLINES_S["active"],
        1.0,
    )


def boot_id(lab: Lab, address: str) -> str:
    """Empty while it can't be asked."""
    try:
        return lab.ssh(address, "cat /proc/sys/kernel/random/boot_id")
    except AssertionError:
        return ""


@pytest.mark.parametrize(("arch", "family"), [("arm64", "aten"), ("armhf", "vertivgeist_pdu")])
def test_a_board_runs_on_a_root_that_is_served_to_it(
    new_lab: Callable[..., Lab], arch: str, family: str
) -> None:
    lab = new_lab(board(arch), pdus=[pdu("a", family, **SLOW)], nfs={"server": "ganesha"}, **SETTINGS)
    image = f"tiny-{arch}"
    lab.register(image)
    lab.enrol(served_by_nfs)
    lab.node_becomes("available")
    lab.deploy("web", image)
    address = lab.instance_becomes("active", "web")["address"]
    assert "nfs4" in lab.ssh(address, "grep", "' / '", "/proc/mounts")


def test_a_server_with_uefi_is_deployed_by_iscsi_and_boots_its_own_kernel(
    new_lab: Callable[..., Lab],
) -> None:
    # GRUB waits for each KiB: with other racks beside this one, for as long as a deploy may take at all.
    patience = {"boot_deadline_s": DEADLINES_S["active"], "running_deadline_s": DEADLINES_S["active"]}
    lab = new_lab(node(arch="arm64", firmware="uefi"), deploy=patience)
    lab.register("tiny-arm64")
    lab.enrol()
    lab.node_becomes("available")
    lab.deploy("web", "tiny-arm64")
    address = lab.instance_becomes("active", "web")["address"]
    assert lab.ssh(address, "uname -m").strip() == "aarch64"
    sent = {event["text"].partition(" ")[0] for event in lab.events() if event["name"] == "tftp.sent"}
    assert {"grubaa64.efi", "grub/grub.cfg"} <= sent

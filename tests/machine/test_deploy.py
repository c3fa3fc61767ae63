"""A request becomes a running machine, and a machine becomes available again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine

PATHS = [
    pytest.param("bios", "tiny", id="bios-tiny"),
    pytest.param("uefi", "tiny-disk", id="uefi-tiny-disk"),
    pytest.param("uefi", "tiny", id="uefi-tiny", marks=pytest.mark.full),
    pytest.param("bios", "tiny-disk", id="bios-tiny-disk", marks=pytest.mark.full),
]

SWAP_MIB, EPHEMERAL_MIB = 64, 128
MOST_OF_A_PARTITION = 0.85
"""What a file system of this size, or swap, tells as its own of its partition, at least."""

# As root, before the instance phones home.
USER_DATA = """#!/bin/sh
echo "user $(id -u) of $(hostname) says: \\"as told\\"" > /run/told
"""


@pytest.mark.parametrize(("firmware", "image"), PATHS)
def test_a_request_becomes_a_machine_that_answers_by_ssh_and_is_clean_after_its_deletion(
    new_lab: Callable[..., Lab], firmware: str, image: str
) -> None:
    lab = new_lab(node(firmware=firmware), ramdisk_kernel="hardware").ready(image)
    sizes = ("--swap-mib", str(SWAP_MIB), "--ephemeral-mib", str(EPHEMERAL_MIB))
    lab.cli("flavor", "create", "roomy", *sizes)
    user_data = lab.folder / "user-data"
    user_data.write_text(USER_DATA)
    address = lab.runs("web", image, "--user-data", str(user_data), flavor="roomy")
    assert lab.ssh(address, "hostname").strip() == "web"
    disk_mib = int(lab.ssh(address, "df -m / | tail -n 1 | awk '{print $2}'"))
    assert disk_mib > 1500, "the root file system fills the disk"
    it_has_what_its_flavor_and_its_user_ask_for(lab, address)
    steps = [event["step"] for event in lab.events() if event["name"] == "step.done"]
    assert steps[:3] == ["verify_power", "publish_boot", "set_boot_device"]
    assert steps[-1] == "instance_running"
    commands = [entry["command"] for entry in lab.audit()]
    assert "chassis.power.on" in commands
    each_step_was_seen_with_what_proved_it(lab)

    lab.ends("web")
    assert lab.cli("node", "show", "n1")["power_state"] == "off"
    head = lab.disk("n1").read_bytes()[: 2**20]
    assert not any(head), "its partition table is gone"
    assert "correct-horse" not in lab.log()


def it_has_what_its_flavor_and_its_user_ask_for(lab: Lab, address: str) -> None:
    in_use = [line.split() for line in lab.ssh(address, "cat /proc/swaps").splitlines()[1:]]
    (swap,) = in_use
    assert swap[1] == "partition"
    assert MOST_OF_A_PARTITION * SWAP_MIB < int(swap[2]) / 1024 <= SWAP_MIB
    (mounted,) = [
        line.split() for line in lab.ssh(address, "cat /proc/mounts").splitlines() if " /mnt " in line
    ]
    assert mounted[2] == "ext4"
    assert mounted[0] != swap[0]
    blocks, size = lab.ssh(address, "stat -f -c '%b %S' /mnt").split()
    told_mib = int(blocks) * int(size) / 2**20
    assert MOST_OF_A_PARTITION * EPHEMERAL_MIB < told_mib <= EPHEMERAL_MIB
    assert lab.ssh(address, "cat /run/told") == 'user 0 of web says: "as told"\n'


def each_step_was_seen_with_what_proved_it(lab: Lab) -> None:
    names = {event["name"] for event in lab.events()}
    assert {
        "dhcp.discover",
        "dhcp.ack",
        "http.sent",
        "agent.hello",
        "power.on",
        "instance.phone_home",
    } <= names
    told = lab.timeline("web")
    for word in ("write_image", "digest", "instance_running"):
        assert word in told
    console = lab.cli("instance", "console", "web")["text"]
    assert "Linux version" in console
    assert "web is up" in console

"""The deploy ramdisk on a machine: from its kernel to a disk written, read back, partitioned and wiped."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.image_digest import TreeDigest
from provisioner.ramdisk import Ramdisk, build, default_cache
from tests.agent_peer import AgentPeer, CommandFailed
from tests.machine.ramdisk_machine import MAC, NODE, TOKEN, RamdiskMachine, booted, powered_on

pytestmark = pytest.mark.machine

MIB = 2**20
IMAGE_MIB = 256
SECRET = "correct-horse-battery"
PORT = 3260  # in the machine; the test's side of it is forwarded


@pytest.fixture(scope="module")
def ramdisk() -> Ramdisk:
    return build("amd64", default_cache())


@pytest.fixture(scope="module")
def machine(ramdisk: Ramdisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RamdiskMachine]:
    with booted(tmp_path_factory.mktemp("ramdisk"), ramdisk, {"root": 2048, "data": 256}) as running:
        yield running


def timed(agent: AgentPeer, name: str, **params: Any) -> Any:
    began_s = time.monotonic()
    result = agent.run(name, **params)
    print(f"{name}: {time.monotonic() - began_s:.2f} s")
    return result


def root_image(folder: Path) -> tuple[Path, str]:
    """A qcow2 root file system, a quarter of it data, and its digest."""
    raw, image = folder / "root.raw", folder / "root.qcow2"
    (folder / "tree").mkdir()
    (folder / "tree/payload").write_bytes(os.urandom(IMAGE_MIB * MIB // 4))
    raw.touch()
    os.truncate(raw, IMAGE_MIB * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", folder / "tree", raw], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
    digest = TreeDigest()
    digest.update(raw.read_bytes())
    return image, digest.hexdigest()


def write(image: Path, port: int, iqn: str, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text(SECRET)
    target = (
        f"driver=raw,offset={MIB},size={IMAGE_MIB * MIB},file.driver=iscsi,file.transport=tcp,"
        f"file.portal=127.0.0.1:{port},file.target={iqn},file.lun=1,file.user=u,file.password-secret=chap"
    )
    argv = ["qemu-img", "convert", "-n", "-W", "-m", "16", "--object", f"secret,id=chap,file={secret}"]
    argv += ["--image-opts", "--target-image-opts", f"driver=qcow2,file.filename={image}", target]
    subprocess.run(argv, check=True, timeout=120)


def test_the_agent_reports_who_and_where_it_is(machine: RamdiskMachine) -> None:
    _, status = machine.agent.ask("GET", "/v1/status")
    assert machine.announcement == {
        "node": NODE,
        "boot_id": status["boot_id"],
        "port": 9999,
        "version": status["version"],
        "mac": MAC,
        "address": "10.0.2.15",
    }
    print(f"from power-on to the report: {machine.announced_after_s:.1f} s")


def test_the_console_tells_each_stage_and_no_secret(machine: RamdiskMachine) -> None:
    for line in ("is up; loading drivers", "drivers are loaded: 1 network ports, 2 disks",
                 "asking for an address by DHCP at eth0", "eth0 has the address 10.0.2.15",
                 "listens on port 9999", "reported to http://"):  # fmt: skip
        machine.console.wait_for(line)
    said = machine.console.said()
    assert TOKEN not in said and SECRET not in said


def test_the_inventory_is_that_of_the_machine(machine: RamdiskMachine) -> None:
    found = machine.agent.run("inventory")
    assert (found["cpus"], found["arch"], found["memory_mib"]) == (2, "x86_64", 1024)
    assert (found["firmware"], found["boot_mac"]) == ("bios", MAC)
    disks = {disk["serial"]: disk for disk in found["disks"]}
    assert disks["root"]["path"] == "/dev/vda" and disks["root"]["size_bytes"] == 2048 * MIB
    assert disks["data"]["transport"] == "virtio"
    assert [(nic["mac"], nic["carrier"], nic["driver"]) for nic in found["nics"]] == [
        (MAC, True, "virtio_net")
    ]


def test_an_image_is_written_verified_partitioned_grown_and_wiped(
    machine: RamdiskMachine, tmp_path: Path
) -> None:
    agent, iqn = machine.agent, "iqn.2026-11.provisioner:test.1"
    image, digest = root_image(tmp_path)
    export = {
        "device": "/dev/vda",
        "iqn": iqn,
        "chap_user": "u",
        "chap_password": SECRET,
        "initiator_address": "10.0.2.2",
        "portal_port": PORT,
    }
    assert timed(agent, "export_disk", **export)["thin"] is True
    write(image, machine.iscsi_port, iqn, tmp_path)
    timed(agent, "withdraw_disk")
    read = timed(agent, "checksum_disk", device="/dev/vda", offset_bytes=MIB, size_bytes=IMAGE_MIB * MIB)
    assert read["tree_digest"] == digest
    layout = {
        "layout": "root_filesystem",
        "root_size_bytes": IMAGE_MIB * MIB,
        "swap_mib": 64,
        "ephemeral_mib": 128,
    }
    made = timed(agent, "partition_disk", device="/dev/vda", **layout)
    assert (made["root_device"], made["root_fstype"]) == ("/dev/vda1", "ext4")
    assert timed(agent, "grow_root", device=made["root_device"])["size_bytes"] > 1800 * MIB
    assert timed(agent, "make_ephemeral", device=made["ephemeral_device"])["label"] == "ephemeral0"
    timed(agent, "make_swap", device=made["swap_device"])
    files = {"meta-data": base64.b64encode(b"instance-id: i-1\n").decode()}
    timed(agent, "write_config_drive", device=made["config_device"], files=files)
    assert timed(agent, "flush") == {"devices": ["/dev/vda", "/dev/vdb"]}
    assert timed(agent, "wipe", devices="all", mode="quick")["devices"] == ["/dev/vda", "/dev/vdb"]
    with pytest.raises(CommandFailed, match="no-partition-table"):
        agent.run("partition_disk", device="/dev/vda", layout="whole_disk")


def test_a_full_wipe_leaves_zeros_on_the_medium(machine: RamdiskMachine) -> None:
    medium = machine.console.path.parent / "data.raw"
    with medium.open("r+b") as file:
        file.seek(100 * MIB)
        file.write(b"left behind")
    timed(machine.agent, "wipe", devices=["/dev/vdb"], mode="full")
    assert not any(medium.read_bytes())


def test_a_node_with_little_memory_reports_too(ramdisk: Ramdisk, tmp_path: Path) -> None:
    with booted(tmp_path, ramdisk, {"root": 64}, memory_mib=384) as machine:
        assert machine.agent.run("inventory")["memory_mib"] == 384


def test_a_node_booted_without_orders_says_what_is_missing(ramdisk: Ramdisk, tmp_path: Path) -> None:
    orders = f"provisioner.node={NODE} console=ttyS0 quiet panic=10"
    with powered_on(tmp_path, ramdisk, {}, orders) as console:
        console.wait_for("agent: can't start: provisioner.token=")


def test_a_node_without_the_console_that_it_is_told_of_reports_too(ramdisk: Ramdisk, tmp_path: Path) -> None:
    with booted(tmp_path, ramdisk, {"root": 64}, serial_port="ttyS2") as machine:
        assert machine.agent.run("inventory")["disks"]
        assert machine.console.said() == ""


def test_the_ramdisk_is_small(ramdisk: Ramdisk) -> None:
    size = ramdisk.kernel.stat().st_size + ramdisk.initrd.stat().st_size
    print(f"kernel and ramdisk: {size / MIB:.1f} MiB")
    assert size < 60_000_000


def test_a_second_build_is_there_at_once(ramdisk: Ramdisk) -> None:
    """Neither is the package archive asked, nor anything made: each of its steps would be told."""
    steps: list[str] = []
    assert build("amd64", default_cache(), steps.append) == ramdisk
    assert steps == []

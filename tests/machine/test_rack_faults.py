"""What a rack does to its machines and wires when it is told to: it strikes, it is written down, it heals."""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bmsim.api import RunningRack
from bmsim.audit import Entry
from tests.machine.commands import eventually
from tests.machine.racks import node, rack

pytestmark = pytest.mark.machine

BOOT_S = 120.0
"""How long firmware may take to ask for an address, on two cores without KVM, another rack beside us."""

LOADERS = Path("/usr/lib/ipxe")


@contextmanager
def up(folder: Path, **changes: Any) -> Iterator[RunningRack]:
    with RunningRack.up({**rack(node(memory_mib=256, **changes)), "name": "rack"}, folder) as running:
        yield running


def bmc(running: RunningRack, *words: str) -> str:
    argv = ("ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "admin", "-E", *words)
    environment = {**os.environ, "IPMI_PASSWORD": "correct-horse-1"}
    return str(running.run("ch1", argv, capture_output=True, text=True, check=True, env=environment).stdout)


def domain_state(running: RunningRack) -> str:
    done = running.run("ch1", ["virsh", "domstate", "n1"], capture_output=True, text=True, check=True)
    return str(done.stdout.strip())


def netboot(running: RunningRack) -> None:
    bmc(running, "chassis", "bootdev", "pxe", "options=persistent")
    bmc(running, "power", "on")


def entries(running: RunningRack, device: str, command: str, **args: Any) -> list[Entry]:
    return [
        entry
        for entry in running.received()
        if (entry.device, entry.command) == (device, command) and args.items() <= entry.args.items()
    ]


def sees(running: RunningRack, device: str, command: str, times: int = 1, **args: Any) -> None:
    eventually(
        f"the rack's log has {device} {command} {args} {times} times",
        lambda: len(entries(running, device, command, **args)) >= times,
        BOOT_S,
    )


def struck(running: RunningRack, fault: str, times: int = 1) -> None:
    sees(running, "fault", "struck", times, fault=fault)


@contextmanager
def served(running: RunningRack, folder: Path, script: str = "sleep 600") -> Iterator[None]:
    """DHCP and TFTP by dnsmasq, as a compute host would: a loader, and a script for it."""
    folder.mkdir()
    (folder / "undionly.kpxe").write_bytes((LOADERS / "undionly.kpxe").read_bytes())
    (folder / "boot.ipxe").write_text(f"#!ipxe\n{textwrap.dedent(script)}\n")
    argv = [
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=prov0"),
        *("--dhcp-range=10.77.0.100,10.77.0.199", "--no-ping", "--dhcp-authoritative", "--log-facility=-"),
        *("--leasefile-ro", "--enable-tftp", f"--tftp-root={folder}", "--user=root", "--pid-file="),
        *("--dhcp-userclass=set:ipxe,iPXE", "--dhcp-boot=tag:ipxe,boot.ipxe"),
        *("--dhcp-boot=tag:!ipxe,undionly.kpxe", "--enable-ra"),
        "--dhcp-range=::,constructor:prov0,ra-only,64",
    ]
    with (folder / "log").open("wb") as log, running.popen("ch1", argv, stdout=log, stderr=log) as server:
        try:
            eventually("dnsmasq serves", lambda: b"DHCP, IP range" in (folder / "log").read_bytes(), 30)
            yield
        finally:
            server.terminate()
            server.wait(30)


def test_a_boot_is_written_down_as_the_wire_and_the_machine_saw_it(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running, served(running, tmp_path / "tftp"):
        netboot(running)
        sees(running, "tftp", "sent", file="boot.ipxe")
        bmc(running, "power", "off")
        sees(running, "machine", "off")
        seen = [
            (entry.device, entry.command)
            for entry in running.received()
            if entry.device in ("machine", "dhcp", "tftp")
        ]
        assert seen[0] == ("machine", "on")
        # iPXE asks again when it has all offers: only which word comes first is certain.
        words = dict.fromkeys(word for device, word in seen if device == "dhcp")
        assert list(words) == ["discover", "offer", "request", "ack"]
        sent = entries(running, "tftp", "sent")
        assert [entry.args["file"] for entry in sent][-1] == "boot.ipxe"
        assert {entry.node for entry in sent} == {"n1"}
        assert {entry.sender for entry in sent} == {"10.77.0.10:69"}
        assert entries(running, "dhcp", "ack", client="iPXE", file="boot.ipxe")
        assert seen[-1] == ("machine", "off")


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("net.partition", {}),
        ("net.partition", {"direction": "to_node"}),
        ("net.drop", {"probability": 1.0, "protocols": ["dhcp"]}),
        ("dhcp.lost_offer", {}),
    ],
)
def test_what_the_wire_loses_keeps_a_machine_from_its_address_until_it_heals(
    fault: str, parameters: dict[str, Any], tmp_path: Path
) -> None:
    with up(tmp_path / "racks") as running, served(running, tmp_path / "tftp"):
        netboot(running)
        running.inject("n1", fault, **parameters)
        struck(running, fault)
        assert not entries(running, "dhcp", "request")
        running.heal("n1", fault)
        sees(running, "dhcp", "ack")


def test_a_transfer_that_stalls_stops_after_its_block_and_goes_on_when_healed(tmp_path: Path) -> None:
    with (
        up(tmp_path / "racks") as running,
        served(running, tmp_path / "tftp", "imgfetch boot.ipxe\nsleep 600"),
    ):
        # iPXE is in the machine's option ROM: the script is what it fetches.
        running.inject("n1", "tftp.stall", after_block=0)
        netboot(running)
        struck(running, "tftp.stall")
        sees(running, "tftp", "read", file="boot.ipxe")
        assert not entries(running, "tftp", "sent")
        running.heal("n1", "tftp.stall")
        sees(running, "tftp", "sent", file="boot.ipxe")


def test_a_rival_dhcp_server_answers_until_it_is_healed(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running:
        running.inject("n1", "dhcp.rival")
        netboot(running)
        eventually(
            "the machine believes the rival", lambda: "rival/boot.kpxe" in running.console("n1"), BOOT_S
        )
        struck(running, "dhcp.rival", times=2)
        running.heal("n1")
        with served(running, tmp_path / "tftp"):
            bmc(running, "power", "reset")
            sees(running, "tftp", "sent", file="boot.ipxe")


def test_a_machine_that_ignores_its_flags_netboots_though_it_was_told_disk(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running:
        running.inject("n1", "boot.ignores_flag")
        bmc(running, "chassis", "bootdev", "disk")
        bmc(running, "power", "on")
        struck(running, "boot.ignores_flag")
        sees(running, "dhcp", "discover")
        running.heal("n1")
        said = len(running.console("n1"))
        bmc(running, "power", "cycle")
        eventually(
            "it boots from its disk", lambda: "Booting from Hard Disk" in running.console("n1")[said:], BOOT_S
        )


@pytest.mark.parametrize("at", ["firmware", "loader"])
def test_a_machine_that_hangs_is_on_and_does_nothing_until_it_is_healed(at: str, tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running, served(running, tmp_path / "tftp"):
        running.inject("n1", "node.hangs", at=at)
        netboot(running)
        struck(running, "node.hangs")
        assert running.running() == {"n1": True}
        eventually("it stands still", lambda: domain_state(running) == "paused", BOOT_S)
        assert not entries(running, "tftp", "sent")
        running.heal("n1")
        sees(running, "tftp", "sent", file="boot.ipxe")


def test_a_machine_that_hung_once_goes_on_after_a_reset(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running, served(running, tmp_path / "tftp"):
        running.inject("n1", "node.hangs", at="firmware", count=1)
        netboot(running)
        struck(running, "node.hangs")
        bmc(running, "power", "reset")
        sees(running, "tftp", "sent", file="boot.ipxe")


def test_a_disk_that_is_too_small_is_so_from_the_next_start_on(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running:
        running.inject("n1", "disk.too_small", size_mib=64)
        bmc(running, "power", "on")
        struck(running, "disk.too_small")
        assert capacity(running) == 64 * 2**20
        running.heal("n1")
        bmc(running, "power", "cycle")
        eventually("it has its size again", lambda: capacity(running) == 2048 * 2**20, BOOT_S)


def capacity(running: RunningRack) -> int:
    argv = ["virsh", "qemu-monitor-command", "n1", "--hmp", "info block -v"]
    said = running.run("ch1", argv, capture_output=True, text=True, check=True).stdout
    sizes = [line for line in str(said).splitlines() if "virtual size:" in line]
    return int(sizes[0].rpartition("(")[2].partition(" ")[0]) if sizes else 0


@pytest.mark.parametrize(("at_mib", "failing", "sound"), [(None, (0, 5), ()), (5, (5,), (0, 6))])
def test_writes_to_a_broken_disk_fail_where_they_should_until_it_is_healed(
    at_mib: int | None, failing: tuple[int, ...], sound: tuple[int, ...], tmp_path: Path
) -> None:
    with up(tmp_path / "racks") as running:
        bmc(running, "power", "on")
        running.inject("n1", "disk.write_error", at_mib=at_mib)
        assert not any(write(running, mib) for mib in failing)
        assert all(write(running, mib) for mib in sound)
        bmc(running, "power", "cycle")
        eventually("it fails after a new start, too", lambda: not write(running, failing[0]), BOOT_S)
        running.heal("n1")
        assert all(write(running, mib) for mib in (*failing, *sound))


def write(running: RunningRack, mib: int) -> bool:
    """Whether a write by the machine's own disk controller arrives on its disk."""
    disk = running.state.node_folder("n1") / "disk0.raw"
    with disk.open("rb", buffering=0) as file:
        file.seek(mib * 2**20)
        pattern = file.read(1)[0] % 255 + 1
        disk_controller(running, f"write -P {pattern} {mib}M 4k")
        file.seek(mib * 2**20)
        return file.read(4096) == bytes((pattern,)) * 4096


def disk_controller(running: RunningRack, order: str) -> None:
    words = f'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "{order}"'
    argv = ["virsh", "qemu-monitor-command", "n1", "--hmp", words]
    running.run("ch1", argv, capture_output=True, check=True)


def test_a_slow_disk_takes_its_time_over_restarts_too_until_it_is_healed(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running:
        running.inject("n1", "disk.slow", factor=100)  # 1 MB/s, and 0.1 MB at once
        assert not entries(running, "fault", "struck", fault="disk.slow")
        bmc(running, "power", "on")
        struck(running, "disk.slow")
        assert five_writes_take_s(running) > 3
        bmc(running, "power", "cycle")
        struck(running, "disk.slow", times=2)
        assert limit(running) == 1_000_000
        running.heal("n1")
        assert limit(running) == 0
        running.inject("n1", "disk.slow", factor=10)
        struck(running, "disk.slow", times=3)
        assert limit(running) == 10_000_000


def five_writes_take_s(running: RunningRack) -> float:
    """Of 1 MB each, the first of which no limit holds up."""
    began = time.monotonic()
    for _ in range(5):
        disk_controller(running, "write -P 7 0 1000k")
    return time.monotonic() - began


def limit(running: RunningRack) -> int:
    """Bytes a second that QEMU lets pass."""
    order = json.dumps({"execute": "query-block"})
    argv = ["virsh", "qemu-monitor-command", "n1", order]
    told = running.run("ch1", argv, capture_output=True, text=True, check=True).stdout
    return int(json.loads(told)["return"][0]["inserted"]["bps"])


def test_a_power_loss_and_a_pulled_cable_are_written_down(tmp_path: Path) -> None:
    with up(tmp_path / "racks") as running:
        bmc(running, "power", "on")
        sees(running, "machine", "on")
        running.inject("n1", "node.power_loss")
        sees(running, "machine", "off")
        struck(running, "node.power_loss")
        running.inject("n1", "node.dead_nic")
        bmc(running, "power", "on")
        struck(running, "node.dead_nic")

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import MIB, Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.machine import Machine
from bmsim.devices.messages import (
    Answer,
    Began,
    DhcpDiscover,
    HttpFailed,
    HttpGet,
    Hung,
    NfsData,
    NfsError,
    NfsRead,
    PowerOff,
    PowerOn,
    Question,
    Reset,
    Started,
    Stopped,
    Struck,
    SystemKind,
    TftpData,
    TftpRead,
)
from bmsim.devices.system import Kernel, System
from bmsim.devices.timing import Timing
from bmsim.faults.catalogue import completed
from tests.unit.bmsim_devices.bench import MAC, SERVER, Bench, Network, bench, hung, started


def broken(fault: str, firmware: Firmware = Firmware.BIOS_IPXE, **parameters: object) -> Bench:
    rack = bench(firmware)
    rack.faults({fault: completed(fault, parameters)})
    rack.give(PowerOn())
    return rack


def test_post_takes_as_long_as_the_fault_says() -> None:
    rack = broken("node.slow_post", post_s=600)
    rack.run(started)
    assert rack.times(DhcpDiscover)[0] == 602.5


@pytest.mark.parametrize("stage", ["firmware", "loader", "kernel", "agent"])
def test_a_machine_hangs_where_it_should_and_goes_on_when_healed(stage: str) -> None:
    rack = broken("node.hangs", at=stage)
    rack.run(hung)
    assert rack.outputs[-1] == Hung(f"hangs: {stage}")
    rack.run(limit_s=10_000)
    assert not rack.all(Started)
    rack.faults({})
    rack.run(started)
    assert len(rack.all(Started)) == 1


def test_a_hanging_machine_can_be_reset_and_hangs_as_often_as_it_was_told() -> None:
    rack = broken("node.hangs", at="kernel", count=1)
    rack.run(hung)
    rack.give(Reset())
    rack.run(started)
    assert len(rack.all(Hung)) == len(rack.all(Started)) == 1


@pytest.mark.parametrize("stage", ["kernel", "agent"])
def test_a_boot_loop_panics_and_restarts_until_it_is_healed(stage: str) -> None:
    rack = broken("boot.loop", at=stage)
    rack.run(limit_s=100)
    assert 3 <= len(rack.all(Began)) <= 7
    assert all(began == Began(by_guest=index > 0) for index, began in enumerate(rack.all(Began)))
    assert not rack.all(Started)
    rack.faults({})
    rack.run(started)
    assert rack.all(Started)


def test_a_boot_loop_ends_after_its_count() -> None:
    rack = broken("boot.loop", count=2)
    rack.run(started)
    assert len(rack.all(Began)) == 3


def test_a_dead_nic_asks_nothing_and_hears_nothing() -> None:
    rack = broken("node.dead_nic")
    rack.run(hung)
    assert not rack.all(DhcpDiscover)
    assert not rack.machine.passes(rack.now_s)
    rack.faults({})
    assert rack.machine.passes(rack.now_s)


def test_a_nic_that_dies_under_a_transfer_has_it_time_out() -> None:
    network = Network()
    rack = bench(Firmware.BIOS, lambda q: None if isinstance(q, TftpRead) else network(q))
    rack.give(PowerOn())
    rack.run(lambda output: isinstance(output, TftpRead))
    read = rack.outputs[-1]
    assert isinstance(read, TftpRead)
    rack.faults({"node.dead_nic": {}})
    rack.give(TftpData(read.ask, 1000))
    rack.run(hung)
    assert "TFTP timeout" in rack.console


def test_a_machine_that_ignores_flags_netboots() -> None:
    rack = bench(disk=Disk(128 * MIB, content="debian"))
    rack.machine.boot_next = BootDevice.DISK
    rack.faults({"boot.ignores_flag": {}})
    rack.give(PowerOn())
    rack.run(started)
    assert rack.machine.running is not None
    assert rack.machine.running.kind is SystemKind.AGENT


@pytest.mark.parametrize(
    ("firmware", "says"), [(Firmware.BIOS, 7), (Firmware.UEFI, 0), (Firmware.UEFI_HTTP, 15)]
)
def test_a_boot_file_of_another_architecture_does_not_start(firmware: Firmware, says: int) -> None:
    rack = broken("boot.wrong_arch", firmware)
    rack.run(hung)
    assert {q.architecture for q in rack.outputs if isinstance(q, DhcpDiscover)} == {says}
    assert "is of another architecture" in rack.console or "no boot filename" in rack.console


def test_a_renamed_nic_asks_under_another_address() -> None:
    rack = broken("bmc.nic_renamed")
    rack.run(started)
    assert {q.mac for q in rack.outputs if isinstance(q, DhcpDiscover)} == {"50:54:00:00:00:01"}


def test_a_blocked_port_passes_nothing_at_first() -> None:
    rack = broken("net.port_blocked_at_first", Firmware.BIOS, for_s=30)
    rack.run(started)
    first, *_ = rack.times(DhcpDiscover)
    assert first >= 30
    # The kernel's driver takes the link down and up: blocked again.
    assert rack.all(Started)


def test_ipxe_sees_that_its_port_blocks_and_waits() -> None:
    rack = broken("net.port_blocked_at_first", for_s=30)
    rack.run(started)
    first, *_ = rack.times(DhcpDiscover)
    assert 30 <= first < 32


def test_the_patience_of_ipxe_ends() -> None:
    rack = broken("net.port_blocked_at_first", for_s=600)
    rack.run(hung)
    assert "No configuration methods succeeded" in rack.console
    assert rack.now_s == pytest.approx(2 + 2.5 + 60 + 15)


def test_lost_power_is_off_at_once_and_may_be_switched_on_again() -> None:
    rack = bench()
    rack.give(PowerOn())
    rack.run(started)
    rack.faults({"node.power_loss": {}})
    assert rack.outputs[-1] == Stopped("switched off")
    rack.give(PowerOn())
    rack.run(started)
    assert len(rack.all(Started)) == 2


def stalling(at_bytes: int) -> Bench:
    network = Network()

    def server(question: Question) -> Answer | None:
        if isinstance(question, TftpRead):
            return TftpData(question.ask, 2**20, at_bytes, complete=False)
        return network(question)

    return bench(Firmware.BIOS, server)


def test_a_stalled_transfer_is_given_up_in_the_end() -> None:
    rack = stalling(5120)
    rack.give(PowerOn())
    rack.run(hung)
    assert "TFTP timeout" in rack.console
    assert rack.now_s == pytest.approx(2 + 24, abs=0.01)


def test_a_stalled_transfer_that_goes_on_boots() -> None:
    rack = stalling(5120)
    rack.give(PowerOn())
    rack.run(lambda output: isinstance(output, TftpRead) and output.received_bytes == 5120)
    rack.server = Network()
    rack.run(started)
    assert rack.all(Started)
    assert rack.now_s < 30


def test_answers_that_come_twice_change_nothing() -> None:
    network = Network()
    once, twice = bench(Firmware.BIOS, network), bench(Firmware.BIOS, network)

    def again(question: Question) -> Answer | None:
        answer = network(question)
        if answer is not None:
            twice.give(answer)
        return answer

    twice.server = again
    for rack in (once, twice):
        rack.give(PowerOn())
        rack.run(started)
    assert twice.did == once.did


class ByNfs:
    """`bmsim.devices.system.Systems`: every kernel has its root by NFS."""

    def of_kernel(self, kernel: Kernel, disk: Disk | None) -> System:
        return System(SystemKind.INSTANCE, "web", nfs_root=f"{SERVER}:/r1")

    def of_disk(self, disk: Disk) -> System | None:
        return None


def mounting(nfs: Callable[[NfsRead], Answer | None]) -> Bench:
    network = Network()

    def server(question: Question) -> Answer | None:
        return nfs(question) if isinstance(question, NfsRead) else network(question)

    rack = Bench(Machine((MAC,), ByNfs(), firmware=Firmware.BIOS), server)
    rack.give(PowerOn())
    return rack


def test_a_silent_nfs_server_is_asked_until_it_answers() -> None:
    here = [False]
    rack = mounting(lambda asked: NfsData(asked.ask, b"") if here[0] else None)
    rack.run(limit_s=600)
    assert not rack.all(Started)
    assert len(rack.all(NfsRead)) > 100
    assert rack.console.count("not responding, still trying") == 1
    here[0] = True
    rack.run(started)
    assert rack.all(Started)
    assert not rack.all(Hung)


def test_a_root_that_its_server_refuses_is_a_panic() -> None:
    rack = mounting(lambda asked: NfsError(asked.ask, "Permission denied"))
    rack.run(limit_s=600)
    assert not rack.all(Started)
    assert "Unable to mount root fs: Permission denied" in rack.console
    assert rack.all(Hung)


def test_a_lost_http_request_is_sent_again_and_the_boot_goes_on() -> None:
    network = Network()
    lost: list[HttpGet] = []

    def server(question: Question) -> Answer | None:
        if isinstance(question, HttpGet) and len(lost) < 2:
            lost.append(question)
            return None
        return network(question)

    rack = bench(server=server)
    rack.give(PowerOn())
    rack.run(started)
    assert rack.all(Started)
    assert lost[0] == lost[1]


def test_a_connection_that_is_cut_is_a_failed_file() -> None:
    network = Network()
    cut: list[HttpGet] = []

    def server(question: Question) -> Answer | None:
        if isinstance(question, HttpGet) and question.url.endswith("ramdisk"):
            cut.append(question)
        return network(question)

    rack = bench(server=server)
    rack.give(PowerOn())
    rack.run(lambda output: bool(cut))
    rack.give(HttpFailed(cut[0].ask))
    rack.run(hung)
    assert "ramdisk... Connection reset (https://ipxe.org/0f0a6039)" in rack.console


def test_a_missing_disk_boots_nothing() -> None:
    rack = bench(disk=Disk(128 * MIB, content="debian"))
    rack.machine.boot_next = BootDevice.DISK
    rack.faults({"disk.missing": {}})
    rack.give(PowerOn())
    rack.run(started)
    assert "not a bootable disk" in rack.console


def test_faults_of_other_devices_are_nothing_to_it() -> None:
    rack = broken("bmc.silent")
    rack.faults({"bmc.silent": {}, "net.drop": {}})
    rack.run(started)
    assert rack.all(Started)
    rack.give(PowerOff())


@pytest.mark.parametrize(
    ("fault", "given"),
    [
        ("node.slow_post", {"post_s": 60}),
        ("node.hangs", {"at": "kernel", "count": None}),
        ("node.dead_nic", {}),
        ("boot.loop", {"at": "kernel", "count": None}),
        ("boot.wrong_arch", {}),
        ("bmc.nic_renamed", {}),
        ("net.port_blocked_at_first", {"for_s": 30}),
    ],
)
def test_a_fault_tells_that_it_has_changed_something(fault: str, given: dict[str, Any]) -> None:
    rack = bench(Firmware.UEFI)
    rack.faults({fault: given})
    rack.give(PowerOn())
    rack.run(limit_s=120)
    assert {struck.fault for struck in rack.all(Struck)} == {fault}


def test_a_fault_that_changes_nothing_tells_nothing() -> None:
    usual_s = Timing().post_s
    idle = {"node.power_loss": {}, "node.slow_post": {"post_s": usual_s}, "boot.wrong_arch": {}}
    rack = bench(disk=Disk(128 * MIB, content="debian"))
    rack.faults(idle)  # it is off; its firmware asks for no boot file: iPXE is in its ROM
    rack.faults({"boot.ignores_flag": {}})
    rack.machine.boot_next = BootDevice.NETWORK
    rack.give(PowerOn())
    rack.run(started)
    assert not rack.all(Struck)


def test_ignoring_a_flag_is_told_when_the_flag_says_another_device() -> None:
    rack = bench(disk=Disk(128 * MIB, content="debian"))
    rack.machine.boot_next = BootDevice.DISK
    rack.faults({"boot.ignores_flag": {}})
    rack.give(PowerOn())
    assert rack.all(Struck) == [Struck("boot.ignores_flag")]

"""A server of arm64: its firmware loads GRUB, which does what the provisioner's configuration says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import MIB, Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.machine import Machine
from bmsim.devices.messages import Began, Hung, PowerOn, Started, SystemKind, TftpData, TftpRead
from bmsim.devices.timing import UEFI
from provisioner.core.model import PublicationKind
from provisioner.drivers.grub import LISTS, LOADER, SCRIPTS, make_offer
from provisioner.protocols.boot import BootEntry
from tests.unit.bmsim_devices.bench import MAC, SYSTEMS, Bench, Server
from tests.unit.bmsim_devices.test_uboot import AGENT as OF_UBOOT
from tests.unit.bmsim_devices.test_uboot import Files, asked_for, clients, said, serving

AGENT = replace(OF_UBOOT, firmware="uefi", boot_driver="grub")
OWN_DISK = replace(AGENT, kind=PublicationKind.LOCAL_DISK, token="", files={})

LED_THERE = [LOADER, *(f"/{name}" for name in (*LISTS, SCRIPTS[1]))]


def files_of(entry: BootEntry) -> dict[str, bytes | Path]:
    return dict(make_offer(entry, lambda arch: Path(LOADER)).tftp_files)


def served(server: Server, *, content: str = "") -> Bench:
    machine = Machine(
        (MAC,),
        SYSTEMS,
        firmware=Firmware.AAVMF,
        order=(BootDevice.NETWORK, BootDevice.DISK),
        timing=UEFI,
        disk=Disk(64 * MIB, content=content),
    )
    bench = Bench(machine, server)
    bench.give(PowerOn())
    bench.run(lambda output: isinstance(output, Started | Hung), limit_s=900)
    return bench


def server(files: Files, *, content: str = "") -> Bench:
    return served(serving(files, LOADER), content=content)


def test_a_server_boots_what_the_configuration_of_the_provisioner_loads() -> None:
    bench = server(files_of(AGENT))
    started = bench.machine.running
    assert started is not None
    assert (started.kind, started.command_line) == (SystemKind.AGENT, AGENT.command_line)
    assert asked_for(bench) == [*LED_THERE, "/kernel", "/ramdisk"]
    assert clients(bench) == ["PXEClient:Arch:00011:UNDI:003000", "udhcp"]
    assert "provisioner: node n1 boots the deploy ramdisk" in said(bench)


def test_a_server_is_handed_over_to_its_own_disk() -> None:
    bench = server(files_of(OWN_DISK), content="debian")
    started = bench.machine.running
    assert started is not None
    assert (started.kind, started.name) == (SystemKind.INSTANCE, "debian")
    assert asked_for(bench) == LED_THERE


@pytest.mark.parametrize("gone", ["kernel", "ramdisk"])
def test_what_cannot_be_loaded_makes_it_begin_anew(gone: str) -> None:
    files = files_of(AGENT)
    del files[gone]
    bench = server(files)
    assert Began(by_guest=True) in bench.outputs
    assert bench.machine.running is None


def test_a_disk_that_boots_nothing_makes_it_begin_anew() -> None:
    bench = server(files_of(OWN_DISK))
    assert Began(by_guest=True) in bench.outputs
    assert "none of its disks boots, restarting" in said(bench)


def test_a_transfer_that_stalls_is_given_up_after_half_a_minute() -> None:
    serve = serving(files_of(AGENT), LOADER)
    bench = served(
        lambda asked: (
            TftpData(asked.ask, MIB, 512, complete=False)
            if isinstance(asked, TftpRead) and asked.file == "/kernel"
            else serve(asked)
        )
    )
    began = [at_s for at_s, output in bench.did if isinstance(output, TftpRead) and output.file == "/kernel"]
    again = [at_s for at_s, output in bench.did if output == Began(by_guest=True)]
    assert 30 < again[0] - began[0] < 40, "with the pause before it restarts"


@pytest.mark.parametrize("script", ["", "chain somewhere\n", "if\n"])
def test_without_a_configuration_that_boots_it_waits_for_somebody_to_type(script: str) -> None:
    bench = server({**files_of(AGENT), SCRIPTS[1]: script.encode()} if script else {LOADER: Path(LOADER)})
    assert bench.outputs[-1] == Hung("nothing to boot: GRUB waits at its prompt")
    assert "grub> " in said(bench)


def test_where_nothing_is_offered_its_firmware_tries_http_and_then_its_disk() -> None:
    bench = served(serving({}), content="debian")
    assert clients(bench)[:2] == ["PXEClient:Arch:00011:UNDI:003000", "HTTPClient:Arch:00019:UNDI:003000"]
    assert bench.machine.running is not None

from __future__ import annotations

import pytest

from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import MIB, Disk
from bmsim.devices.firmware import BUILDS, DIALECTS, GRUB, WAYS, Firmware
from bmsim.devices.messages import (
    Began,
    DhcpDiscover,
    DhcpRequest,
    Fetched,
    HttpGet,
    Hung,
    PowerOff,
    PowerOn,
    Reset,
    ShutDown,
    Started,
    Stopped,
    SystemHalts,
    SystemKind,
    SystemReboots,
    TftpRead,
    to_json,
)
from tests.unit.bmsim_devices.bench import ADDRESS, MAC, URL, Bench, Network, bench, hung, started

LOCAL = """#!ipxe
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 ||
echo it does not boot: ${errno}
sleep 3
exit 1
"""


LOAD_IPXE = [
    one for one in Firmware if one not in BUILDS and DIALECTS[WAYS.get(one, (one,))[0]].platform != GRUB
]


def booted(firmware: Firmware = Firmware.BIOS_IPXE, server: Network | None = None) -> Bench:
    rack = bench(firmware, server)
    rack.give(PowerOn())
    rack.run(started)
    return rack


@pytest.mark.parametrize("firmware", LOAD_IPXE)
def test_every_firmware_boots_the_agent_from_the_network(firmware: Firmware) -> None:
    rack = booted(firmware)
    assert rack.machine.running is not None
    assert rack.machine.running == rack.outputs[-1]
    command_line = "initrd=ramdisk console=ttyS0 provisioner.token=t0"
    assert rack.machine.running == Started(SystemKind.AGENT, "agent", MAC, ADDRESS, command_line)


def test_a_boot_to_the_agent_takes_what_was_measured() -> None:
    assert 12 < booted().now_s < 15


@pytest.mark.parametrize(
    ("firmware", "asked"),
    [
        (Firmware.BIOS_IPXE, [(0, "iPXE"), (None, "udhcp")]),
        (Firmware.BIOS, [(0, "PXEClient:Arch:00000:UNDI:002001"), (0, "iPXE"), (None, "udhcp")]),
        (Firmware.UEFI, [(7, "PXEClient:Arch:00007:UNDI:003001"), (7, "iPXE"), (None, "udhcp")]),
        (Firmware.UEFI_HTTP, [(16, "HTTPClient:Arch:00016:UNDI:003001"), (7, "iPXE"), (None, "udhcp")]),
    ],
)
def test_each_client_says_who_it_is(firmware: Firmware, asked: list[tuple[int | None, str]]) -> None:
    rack = booted(firmware)
    for kind in (DhcpDiscover, DhcpRequest):
        assert [(q.architecture, q.client) for q in rack.outputs if isinstance(q, kind)] == asked


def test_files_are_fetched_in_the_order_of_a_boot() -> None:
    rack = booted(Firmware.BIOS)
    fetched = [output.source for output in rack.outputs if isinstance(output, Fetched)]
    assert fetched == ["undionly.kpxe", f"{URL}/boot.ipxe", f"{URL}/kernel", f"{URL}/ramdisk"]


def test_a_transfer_takes_the_time_of_its_bytes() -> None:
    kernel = next(o for o in booted().outputs if isinstance(o, Fetched) and o.source.endswith("kernel"))
    assert kernel.seconds == pytest.approx(8 / 20)


def test_nothing_is_polled_for() -> None:
    rack = bench()
    rack.give(PowerOn())
    wakes = 0
    while rack.machine.running is None:
        wakes += 1
        rack.run(lambda output: True)
    assert wakes < 20
    assert rack.machine.update(rack.now_s).wake_at_s is None


def test_silent_dhcp_is_asked_again_after_4_8_16_and_32_seconds_by_a_pxe_rom() -> None:
    network = Network()
    network.offers = False
    rack = bench(Firmware.BIOS, network)
    rack.give(PowerOn())
    rack.run(hung)
    assert rack.times(DhcpDiscover) == [2, 6, 14, 30]
    assert rack.now_s == 62
    assert "no DHCP offers were received" in rack.console
    assert rack.console.endswith(
        "Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\nNo bootable device.\r\n"
    )


def test_silent_dhcp_is_asked_again_after_1_2_4_and_8_seconds_by_ipxe() -> None:
    network = Network()
    network.offers = False
    rack = bench(server=network)
    rack.give(PowerOn())
    rack.run(hung)
    assert rack.times(DhcpDiscover) == [4.5, 5.5, 7.5, 11.5]
    assert "No configuration methods succeeded" in rack.console


def test_a_request_that_nobody_acknowledges_is_repeated_and_then_given_up() -> None:
    network = Network()
    network.acks = False
    rack = bench(server=network)
    rack.give(PowerOn())
    rack.run(hung)
    assert [r.server for r in rack.outputs if isinstance(r, DhcpRequest)][:4] == ["10.0.0.1"] * 4
    assert len(rack.all(Hung)) == 1


def test_an_offer_without_a_boot_file_is_none_to_a_pxe_rom() -> None:
    network = Network()
    network.file = lambda question: ""  # type: ignore[method-assign]
    rack = bench(Firmware.UEFI, network)
    rack.give(PowerOn())
    rack.run(hung)
    assert "no boot filename received" in rack.console
    assert not rack.all(DhcpRequest)


def test_ipxe_has_nothing_to_boot_when_dhcp_names_nothing() -> None:
    network = Network()
    network.file = lambda question: ""  # type: ignore[method-assign]
    rack = bench(server=network)
    rack.give(PowerOn())
    rack.run(hung)
    assert "Nothing to boot" in rack.console


def test_a_refused_tftp_file_is_asked_for_once() -> None:
    network = Network()
    network.tftp_files = set()
    rack = bench(Firmware.BIOS, network)
    rack.give(PowerOn())
    rack.run(hung)
    assert len(rack.all(TftpRead)) == 1
    assert "TFTP error: File not found" in rack.console


def test_silent_tftp_is_asked_six_times() -> None:
    network = Network()
    rack = bench(
        Firmware.BIOS, lambda question: None if isinstance(question, TftpRead) else network(question)
    )
    rack.give(PowerOn())
    rack.run(hung)
    assert rack.times(TftpRead) == [2, 6, 10, 14, 18, 22]
    assert "TFTP timeout" in rack.console


def test_a_boot_script_that_is_not_there_ends_ipxe() -> None:
    network = Network()
    network.http = lambda question: None  # type: ignore[method-assign]
    rack = bench(server=network)
    rack.give(PowerOn())
    rack.run(hung)
    assert "Connection timed out (https://ipxe.org/4c0a6035)" in rack.console


def test_what_is_no_script_is_no_script() -> None:
    rack = bench(server=Network("<html>"))
    rack.give(PowerOn())
    rack.run(hung)
    assert "Exec format error" in rack.console


def test_the_bmcs_boot_device_comes_before_the_machines_own_order() -> None:
    rack = bench(disk=Disk(128 * MIB, content="debian"))
    rack.machine.boot_next = BootDevice.DISK
    rack.give(PowerOn())
    rack.run(started)
    assert rack.machine.running == Started(SystemKind.INSTANCE, "debian", MAC, ADDRESS)
    assert not rack.all(HttpGet)
    assert 33 < rack.now_s < 38


def test_a_disk_that_does_not_boot_is_followed_by_the_network() -> None:
    rack = bench()
    rack.machine.boot_next = BootDevice.DISK
    rack.give(PowerOn())
    rack.run(started)
    assert rack.machine.running is not None
    assert rack.machine.running.kind is SystemKind.AGENT
    assert "not a bootable disk" in rack.console


@pytest.mark.parametrize("firmware", list(Firmware))
def test_ipxe_hands_over_to_the_disk(firmware: Firmware) -> None:
    rack = bench(firmware, Network(LOCAL), disk=Disk(128 * MIB, content="debian"))
    rack.give(PowerOn())
    rack.run(started)
    assert rack.machine.running is not None
    assert rack.machine.running.name == "debian"


def test_ipxe_goes_on_when_the_disk_does_not_boot() -> None:
    rack = bench(server=Network(LOCAL))
    rack.give(PowerOn())
    rack.run(hung)
    assert "it does not boot: 2e008081" in rack.console


def test_a_reset_ends_what_runs_and_begins_anew() -> None:
    rack = booted()
    rack.give(Reset())
    assert rack.outputs[-2:] == [Stopped("reset"), Began()]
    assert rack.machine.running is None
    rack.run(started)
    assert len(rack.all(Started)) == 2


def test_answers_to_a_boot_that_was_cut_off_are_lost() -> None:
    network = Network()
    late: list[object] = []

    def slow(question: object) -> None:
        late.append(question)

    rack = bench(server=slow)
    rack.give(PowerOn())
    rack.run(lambda output: isinstance(output, DhcpDiscover))
    rack.give(PowerOff(), PowerOn())
    rack.server = network
    first = late[0]
    assert isinstance(first, DhcpDiscover)
    offer = network(first)
    assert offer is not None
    rack.give(offer)
    rack.run(lambda output: isinstance(output, DhcpRequest))
    assert [o.ask for o in rack.outputs if isinstance(o, DhcpRequest)] == [first.ask + 1]


def test_power_off_is_at_once_and_power_commands_are_idempotent() -> None:
    rack = booted()
    rack.give(PowerOn())
    rack.give(PowerOff(), PowerOff())
    assert rack.outputs[-1] == Stopped("switched off")
    assert len(rack.all(Stopped)) == 1
    assert not rack.machine.on
    assert not rack.machine.passes(rack.now_s)
    rack.give(Reset())
    assert not rack.machine.on


def test_the_power_button_is_heard_by_a_running_system_alone() -> None:
    rack = bench()
    rack.give(PowerOn(), ShutDown())
    rack.run(started)
    began_s = rack.now_s
    rack.give(ShutDown())
    assert not rack.all(Stopped)
    rack.run()
    assert rack.outputs[-1] == Stopped("it switches itself off")
    assert rack.now_s == began_s + 3


def test_a_system_may_restart_its_machine_or_switch_it_off() -> None:
    rack = booted()
    rack.give(SystemReboots())
    assert rack.outputs[-1] == Began(by_guest=True)
    rack.run(started)
    rack.give(SystemHalts())
    assert not rack.machine.on


def test_messages_have_a_stable_form() -> None:
    rack = booted()
    shown = [to_json(output) for output in rack.outputs]
    discover = next(shown[i] for i, o in enumerate(rack.outputs) if isinstance(o, DhcpDiscover))
    assert discover == {"kind": "DhcpDiscover", "ask": 1, "mac": MAC, "architecture": 0, "client": "iPXE"}
    assert shown == [to_json(output) for output in booted().outputs]


def test_ovmf_tries_http_when_pxe_has_failed() -> None:
    network = Network()
    rack = bench(Firmware.OVMF, lambda q: None if isinstance(q, TftpRead) else network(q))
    rack.give(PowerOn())
    rack.run(started)
    clients = [q.client.partition(":")[0] for q in rack.outputs if isinstance(q, DhcpDiscover)]
    assert list(dict.fromkeys(clients)) == ["PXEClient", "HTTPClient", "iPXE", "udhcp"]
    assert rack.all(Started)

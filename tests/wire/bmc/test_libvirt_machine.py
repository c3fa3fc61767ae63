"""The machine behind a BMC, over libvirt's test driver: what was acknowledged has happened, in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as xml

import libvirt
import pytest

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act
from bmsim.devices.boot_flags import BootDevice
from bmsim.faces import libvirt_machine
from bmsim.faces.control import MachineRefused
from bmsim.faces.libvirt_machine import LibvirtMachine
from tests.contract.bmsim.bmc import TEST_HOST

pytestmark = pytest.mark.wire

PXE_ALWAYS = b"\xc0\x04"


@pytest.fixture
def host(tmp_path: Path) -> str:
    path = tmp_path / "host.xml"
    path.write_text(TEST_HOST)
    return f"test://{path}"


@pytest.fixture
def machine(host: str) -> LibvirtMachine:
    return LibvirtMachine(host, "m1")


class Seen:
    """The domain as libvirt has it; the test driver's state is its connection's."""

    def __init__(self, machine: LibvirtMachine) -> None:
        machine.is_on()
        assert machine._connection is not None
        self.connection = machine._connection
        self.domain = self.connection.lookupByName("m1")

    def order(self, *, live: bool = False) -> list[str]:
        root = xml.fromstring(self.domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE))
        return [str(boot.get("dev")) for boot in root.findall("os/boot")]


@pytest.fixture
def seen(machine: LibvirtMachine) -> Iterator[Seen]:
    yield Seen(machine)


def test_it_goes_off_and_on(machine: LibvirtMachine) -> None:
    assert machine.is_on()
    machine.do(Act.OFF)
    assert not machine.is_on()
    machine.do(Act.ON)
    assert machine.is_on()


def test_an_override_comes_first_and_the_own_order_after_it(machine: LibvirtMachine, seen: Seen) -> None:
    machine.boot_next(BootDevice.NETWORK, b"")
    assert seen.order() == ["network", "hd"]
    machine.boot_next(BootDevice.CDROM, b"")
    assert seen.order() == ["cdrom", "hd", "network"]


def test_without_an_override_the_machine_has_its_own_order_again(machine: LibvirtMachine, seen: Seen) -> None:
    before = seen.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    machine.boot_next(BootDevice.NETWORK, PXE_ALWAYS)
    machine.boot_next(BootDevice.UNCHANGED, b"")
    assert seen.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) == before


def test_a_reset_boots_from_what_was_ordered_while_it_ran(machine: LibvirtMachine, seen: Seen) -> None:
    machine.do(Act.CYCLE)
    machine.boot_next(BootDevice.NETWORK, b"")
    assert seen.order(live=True)[0] == "hd"
    machine.do(Act.RESET)
    assert seen.order(live=True)[0] == "network"


def test_a_bmc_that_starts_anew_finds_its_flags_and_the_machines_own_order(
    machine: LibvirtMachine, seen: Seen
) -> None:
    machine.boot_next(BootDevice.NETWORK, PXE_ALWAYS)
    successor = LibvirtMachine("", "m1")
    successor._connection = seen.connection
    assert successor.kept() == PXE_ALWAYS
    successor.boot_next(BootDevice.UNCHANGED, b"")
    assert seen.order() == ["hd", "network"]


def test_orders_given_device_by_device_are_understood(machine: LibvirtMachine, seen: Seen) -> None:
    seen.connection.defineXML(
        """<domain type="test"><name>m2</name><memory>65536</memory><os><type>hvm</type></os><devices>
        <disk type="file" device="disk"><source file="/a"/><target dev="vda"/><boot order="2"/></disk>
        <interface type="network"><source network="default"/><boot order="1"/></interface>
        </devices></domain>"""
    )
    second = LibvirtMachine("", "m2")
    second._connection = seen.connection
    second.boot_next(BootDevice.DISK, b"")
    written = xml.fromstring(seen.connection.lookupByName("m2").XMLDesc(0))
    assert [boot.get("dev") for boot in written.findall("os/boot")] == ["hd", "network"]
    assert not written.findall("devices/*/boot")


def test_what_libvirt_refuses_is_refused_in_its_words(machine: LibvirtMachine) -> None:
    with pytest.raises(MachineRefused, match="already running") as refused:
        machine.do(Act.ON)
    assert refused.value.code == ipmi.UNSPECIFIED


def test_a_machine_that_isnt_there_is_an_unavailable_destination(host: str) -> None:
    with pytest.raises(MachineRefused, match="m9") as refused:
        LibvirtMachine(host, "m9").is_on()
    assert refused.value.code == ipmi.UNREACHABLE


def test_a_libvirt_that_isnt_there_is_an_unavailable_destination(tmp_path: Path) -> None:
    gone = LibvirtMachine(f"qemu+unix:///system?socket={tmp_path / 'nobody'}", "m1")
    with pytest.raises(MachineRefused) as refused:
        gone.is_on()
    assert refused.value.code == ipmi.UNREACHABLE


def test_a_connection_that_was_lost_is_opened_again(machine: LibvirtMachine, seen: Seen) -> None:
    seen.connection.close()
    assert machine.is_on()


def test_a_call_that_hangs_is_given_up_and_the_next_refused_until_it_ends(
    machine: LibvirtMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_machine, "CALL_TIMEOUT_S", 0.05)
    released = threading.Event()
    hang: Callable[[], object] = released.wait
    with pytest.raises(MachineRefused, match=r"not done in 0\.05 s") as slow:
        machine._bounded(hang)
    assert slow.value.code == ipmi.TIMED_OUT
    with pytest.raises(MachineRefused, match="still running"):
        machine.is_on()
    monkeypatch.setattr(libvirt_machine, "CALL_TIMEOUT_S", 5.0)
    last = machine._calls._last
    released.set()
    assert last is not None
    last.result(5.0)
    assert machine.is_on()

"""What is acknowledged has happened, and what was told to the BMC outlives it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act, BmcState, Decision, Request
from bmsim.devices.boot_flags import BootDevice
from bmsim.faces.control import Control, MachineRefused
from bmsim.faults.catalogue import completed

ON, RESET = b"\x01", b"\x03"
PXE_ONCE, PXE_ALWAYS = b"\x05\x80\x04\x00\x00\x00", b"\x05\xc0\x04\x00\x00\x00"


@dataclass
class Machine:
    """In memory; refuses while `broken`."""

    on: bool = False
    broken: bool = False
    stored: bytes = b""
    next: BootDevice = BootDevice.UNCHANGED
    booted: list[BootDevice] = field(default_factory=list)

    def is_on(self) -> bool:
        self._check()
        return self.on

    def do(self, act: Act) -> None:
        self._check()
        self.on = act not in (Act.OFF, Act.SHUT_DOWN)
        if act in (Act.ON, Act.CYCLE, Act.RESET):
            self.booted.append(self.next)

    def boot_next(self, device: BootDevice, kept: bytes) -> None:
        self._check()
        self.next, self.stored = device, kept

    def kept(self) -> bytes:
        self._check()
        return self.stored

    def own_device(self) -> BootDevice:
        self._check()
        return BootDevice.DISK

    def _check(self) -> None:
        if self.broken:
            raise MachineRefused("it is broken", ipmi.UNREACHABLE)


def send(control: Control, command: int, data: bytes, *, now_s: float = 0.0) -> Decision:
    request = Request(ipmi.CHASSIS, command, data)
    name = ipmi.command_name(ipmi.CHASSIS, command, data)
    decision, _ = control.execute(request, name, now_s, lambda act: None)
    return decision


def test_a_boot_device_for_one_boot_decides_one_boot() -> None:
    machine = Machine()
    control = Control(machine, BmcState())
    send(control, 0x08, PXE_ONCE)
    assert machine.next is BootDevice.NETWORK  # the guest's own reset would follow it too
    send(control, 0x02, ON)
    assert machine.next is BootDevice.UNCHANGED
    send(control, 0x02, RESET)
    assert machine.booted == [BootDevice.NETWORK, BootDevice.UNCHANGED]


def test_a_boot_device_for_one_boot_is_given_back_after_60_seconds() -> None:
    machine = Machine()
    control = Control(machine, BmcState())
    send(control, 0x08, PXE_ONCE)
    control.tick(59.0)
    assert machine.next is BootDevice.NETWORK
    control.tick(60.0)
    assert machine.next is BootDevice.UNCHANGED


def test_a_boot_device_for_all_boots_outlives_the_bmc() -> None:
    machine = Machine()
    send(Control(machine, BmcState()), 0x08, PXE_ALWAYS)
    successor = Control(machine, BmcState())
    successor.tick(0.0)
    assert successor.state.flags.override is BootDevice.NETWORK
    assert machine.next is BootDevice.NETWORK


def test_a_successor_that_cant_reach_the_machine_yet_doesnt_forget_for_it() -> None:
    machine = Machine()
    send(Control(machine, BmcState()), 0x08, PXE_ALWAYS)
    successor = Control(machine, BmcState())
    machine.broken = True
    successor.tick(0.0)
    machine.broken = False
    successor.tick(10.0)
    assert successor.state.flags.override is BootDevice.NETWORK
    assert machine.stored == b"\xc0\x04"


def test_what_the_machine_refuses_is_refused_and_nothing_is_remembered_of_it() -> None:
    machine = Machine(broken=True)
    control = Control(machine, BmcState())
    before = control.state
    for command, data in ((0x02, ON), (0x08, PXE_ALWAYS), (0x01, b"")):
        assert send(control, command, data).code == ipmi.UNREACHABLE
    assert control.state == before
    machine.broken = False
    assert not machine.on
    assert machine.next is BootDevice.UNCHANGED


def test_an_order_that_couldnt_be_put_back_is_put_back_later() -> None:
    machine = Machine()
    control = Control(machine, BmcState())
    send(control, 0x08, PXE_ONCE)
    machine.broken = True
    control.tick(60.0)
    assert machine.next is BootDevice.NETWORK
    machine.broken = False
    control.tick(60.5)  # not at every turn
    assert machine.next is BootDevice.NETWORK
    control.tick(61.0)
    assert machine.next is BootDevice.UNCHANGED


def test_a_late_bmc_acknowledges_at_once_and_tells_when_it_is_done() -> None:
    machine = Machine(on=True)
    control = Control(machine, BmcState())
    control.give_faults({"bmc.late": completed("bmc.late", {"by_s": 3, "count": 1})}, 0.0)
    done: list[str] = []
    request = Request(ipmi.CHASSIS, 0x02, b"\x00")
    decision, why = control.execute(request, "chassis.power.off", 1.0, lambda act: None, done.append)
    assert (decision.code, why) == (ipmi.OK, ": in 3 s")
    control.tick(3.9)
    assert (machine.on, done, control.wake_at_s) == (True, [], 4.0)
    control.tick(4.0)
    assert (machine.on, done) == (False, [""])
    machine.on = True
    send(control, 0x02, b"\x00", now_s=5.0)
    assert not machine.on, "the count is used up: the next one is done at once"


def test_what_a_late_bmc_has_put_off_is_forgotten_when_it_restarts() -> None:
    machine = Machine(on=True)
    control = Control(machine, BmcState())
    control.give_faults({"bmc.late": completed("bmc.late", {})}, 0.0)
    send(control, 0x02, b"\x00")
    control.restart(1.0, 5.0)
    control.tick(10.0)
    assert machine.on

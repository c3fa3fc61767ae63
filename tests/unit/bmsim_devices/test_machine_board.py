from __future__ import annotations

from typing import Any

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Request
from bmsim.devices.board import Board, Reply
from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import MIB, Disk
from bmsim.devices.machine import Machine
from bmsim.devices.messages import Began, Question, Started, Stopped, SystemKind, SystemReboots
from bmsim.faults.catalogue import completed
from tests.unit.bmsim_devices.bench import MAC, SYSTEMS, Network

OFF, ON, CYCLE, RESET, SOFT = 0, 1, 2, 3, 5
NETWORK_ONCE, DISK_ONCE, DISK_ALWAYS = b"\x05\x80\x04\0\0\0", b"\x05\x80\x08\0\0\0", b"\x05\xc0\x08\0\0\0"
NEVER_EXPIRE = b"\x03\x08"


class Bench:
    def __init__(self) -> None:
        self.board = Board(Machine((MAC,), SYSTEMS, disk=Disk(128 * MIB, content="debian")))
        self.now_s = 0.0
        self.did: list[Any] = []
        self.wake_at_s: float | None = None
        self._network = Network()

    def follow(self, update: Any) -> None:
        self.did += update.outputs
        self.wake_at_s = update.wake_at_s
        for output in update.outputs:
            answer = self._network(output) if isinstance(output, Question) else None
            if answer is not None:
                self.follow(self.board.update(self.now_s, (answer,)))

    def ask(self, command: int, data: bytes) -> Reply | None:
        reply, update = self.board.ipmi(Request(ipmi.CHASSIS, command, data), self.now_s)
        self.follow(update)
        return reply

    def power(self, control: int) -> int:
        reply = self.ask(0x02, bytes((control,)))
        return -1 if reply is None else reply.code

    def boot_from(self, flags: bytes) -> None:
        reply = self.ask(0x08, flags)
        assert reply is not None
        assert reply.code == ipmi.OK

    def says_on(self) -> bool:
        reply = self.ask(0x01, b"")
        assert reply is not None
        return bool(reply.data[0] & 1)

    def run(self) -> Started:
        """Until a system runs."""
        while self.board.machine.running is None:
            assert self.wake_at_s is not None
            self.now_s = self.wake_at_s
            self.follow(self.board.update(self.now_s))
        return self.board.machine.running

    def faults(self, **given: dict[str, Any]) -> None:
        named = {name.replace("__", "."): parameters for name, parameters in given.items()}
        complete = {name: completed(name, parameters) for name, parameters in named.items()}
        self.follow(self.board.give_faults(complete, self.now_s))


def test_what_the_bmc_says_is_what_the_machine_is() -> None:
    rack = Bench()
    assert not rack.says_on()
    assert rack.power(ON) == ipmi.OK
    assert rack.says_on()
    assert rack.did == [Began()]
    assert rack.power(OFF) == ipmi.OK
    assert not rack.says_on()
    assert rack.did[-1] == Stopped("switched off")
    assert rack.power(RESET) == ipmi.NOT_IN_THIS_STATE


def test_a_flag_for_one_boot_holds_for_one_boot() -> None:
    rack = Bench()
    rack.boot_from(DISK_ONCE)
    rack.power(ON)
    assert rack.run().kind is SystemKind.INSTANCE
    rack.power(CYCLE)
    assert rack.run().kind is SystemKind.AGENT


def test_a_flag_for_all_boots_holds_for_all() -> None:
    rack = Bench()
    rack.boot_from(DISK_ALWAYS)
    for control in (ON, RESET, CYCLE):
        rack.power(control)
        assert rack.run().kind is SystemKind.INSTANCE


def test_a_reset_by_the_guest_uses_up_a_flag_for_one_boot() -> None:
    rack = Bench()
    rack.power(ON)
    assert rack.run().kind is SystemKind.AGENT
    rack.boot_from(NEVER_EXPIRE)
    rack.boot_from(DISK_ONCE)
    rack.follow(rack.board.update(rack.now_s, (SystemReboots(),)))
    assert rack.board.bmc.flags.override is BootDevice.UNCHANGED
    assert rack.run().kind is SystemKind.INSTANCE
    rack.follow(rack.board.update(rack.now_s, (SystemReboots(),)))
    assert rack.run().kind is SystemKind.AGENT


def test_a_flag_expires_with_the_bmcs_clock() -> None:
    rack = Bench()
    rack.boot_from(DISK_ONCE)
    rack.now_s = 61
    rack.power(ON)
    assert rack.run().kind is SystemKind.AGENT


def test_the_power_button_has_a_system_go_down() -> None:
    rack = Bench()
    rack.power(ON)
    rack.run()
    rack.power(SOFT)
    assert rack.says_on()
    assert rack.wake_at_s is not None
    rack.now_s = rack.wake_at_s
    rack.follow(rack.board.update(rack.now_s))
    assert not rack.says_on()


def test_faults_reach_the_device_they_are_meant_for() -> None:
    rack = Bench()
    rack.faults(bmc__silent={}, disk__missing={})
    assert rack.power(ON) == -1
    assert not rack.board.machine.on
    rack.faults(disk__missing={}, bmc__ack_not_done={"for_commands": ["chassis.power.on"], "count": 1})
    assert rack.power(ON) == ipmi.OK
    assert not rack.says_on()
    rack.boot_from(DISK_ONCE)
    rack.power(ON)
    assert rack.run().kind is SystemKind.AGENT


def test_a_bmc_that_restarts_is_silent_and_its_machine_runs_on() -> None:
    rack = Bench()
    rack.power(ON)
    rack.run()
    reply, update = rack.board.ipmi(Request(ipmi.APP, 0x02), rack.now_s)
    rack.follow(update)
    assert reply is not None
    assert rack.ask(0x01, b"") is None
    assert rack.board.machine.running is not None
    rack.now_s += 20
    assert rack.says_on()

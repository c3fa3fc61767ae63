"""What a BMC makes of a command: chassis control and boot flags of IPMI 2.0.

Section numbers are those of the IPMI specification, second generation, revision 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

CHASSIS, APP = 0x00, 0x06

OK, NODE_BUSY, UNKNOWN_COMMAND, NO_SUCH_PARAMETER = 0x00, 0xC0, 0xC1, 0x80
TOO_SHORT, INVALID_FIELD, NOT_NOW = 0xC7, 0xCC, 0xD5

ONCE_FLAGS_VALID_S = 60.0
"""§28.12: flags for one boot are dropped when no reset or power-on comes within this time."""

KEEP_AFTER_TIMEOUT = 0x08
"""§28.13, parameter 3: the bit that turns that rule off."""


class Act(Enum):
    """What the machine is to do."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"
    RESET = "reset"
    DIAGNOSE = "diagnose"
    SHUT_DOWN = "shut down"
    RESTART_BMC = "restart the BMC"


CONTROLS = {0: Act.OFF, 1: Act.ON, 2: Act.CYCLE, 3: Act.RESET, 4: Act.DIAGNOSE, 5: Act.SHUT_DOWN}
"""§28.3, chassis control."""

NEEDS_POWER = frozenset({Act.CYCLE, Act.RESET, Act.DIAGNOSE, Act.SHUT_DOWN})

COMMAND_NAMES = {
    (APP, 0x01): "mc.info",
    (APP, 0x02): "mc.reset.cold",
    (APP, 0x03): "mc.reset.warm",
    (APP, 0x37): "mc.guid",
    (APP, 0x48): "sol.activate",
    (APP, 0x49): "sol.deactivate",
    (CHASSIS, 0x01): "chassis.status",
    (CHASSIS, 0x08): "chassis.bootparam.set",
    (CHASSIS, 0x09): "chassis.bootparam.get",
}
CONTROL_NAMES = {Act.SHUT_DOWN: "soft", Act.DIAGNOSE: "diag"}


@dataclass(frozen=True, slots=True)
class BootFlags:
    """Parameter 5 of the boot options (§28.13). selector: 1 network, 2 disk, 5 CD, 0 no override."""

    valid: bool = False
    persistent: bool = False
    uefi: bool = False
    selector: int = 0
    set_at_s: float = 0.0

    def encode(self) -> bytes:
        first = 0x80 * self.valid | 0x40 * self.persistent | 0x20 * self.uefi
        return bytes((first, self.selector << 2, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, and what the machine has to do before it may be given."""

    code: int = OK
    data: bytes = b""
    act: Act | None = None


class Bmc:
    """One BMC. Times are any seconds that never go back."""

    def __init__(self, *, firmware: tuple[int, int] = (1, 0)) -> None:
        self._firmware = firmware
        self._keep_after_timeout = False
        self.flags = BootFlags()

    def receive(self, netfn: int, command: int, data: bytes, *, now_s: float, on: bool) -> Reply:
        """One command of an open session. `on`: whether the machine is on, by its power."""
        self._expire_flags(now_s)
        match netfn, command:
            case (0x06, 0x01):
                return Reply(data=self._device_id())
            case (0x06, 0x02 | 0x03):
                return Reply(act=Act.RESTART_BMC)
            case (0x00, 0x01):
                return Reply(data=bytes((0x01 if on else 0x00, 0x00, 0x40)))
            case (0x00, 0x02):
                return self._control(data, on)
            case (0x00, 0x08):
                return self._set_boot_option(data, now_s)
            case (0x00, 0x09):
                return self._get_boot_option(data)
        return Reply(UNKNOWN_COMMAND)

    def machine_started(self) -> None:
        """The machine came out of a power-on or reset: flags for one boot are used up."""
        if not self.flags.persistent:
            self.flags = BootFlags()

    def forget_flags(self) -> None:
        self.flags = BootFlags()

    def _device_id(self) -> bytes:
        # §20.1: id 0x20, revision 1, firmware, IPMI 2.0, a chassis device; no manufacturer makes this one.
        major, minor = self._firmware
        return bytes((0x20, 0x01, major, minor, 0x02, 0x80, 0, 0, 0, 0, 0))

    def _control(self, data: bytes, on: bool) -> Reply:
        if not data:
            return Reply(TOO_SHORT)
        act = CONTROLS.get(data[0] & 0x0F)
        if act is None:
            return Reply(INVALID_FIELD)
        if act in NEEDS_POWER and not on:
            return Reply(NOT_NOW)
        return Reply(act=act)

    def _set_boot_option(self, data: bytes, now_s: float) -> Reply:
        if not data:
            return Reply(TOO_SHORT)
        parameter, value = data[0] & 0x7F, data[1:]
        if parameter == 3 and value:
            self._keep_after_timeout = bool(value[0] & KEEP_AFTER_TIMEOUT)
            return Reply()
        if parameter in (0, 4):  # set-in-progress, acknowledgements: nothing depends on them
            return Reply()
        if parameter != 5:
            return Reply(NO_SUCH_PARAMETER)
        if len(value) < 2:
            return Reply(TOO_SHORT)
        selector = value[1] >> 2 & 0x0F
        if selector not in (0, 1, 2, 5):
            return Reply(INVALID_FIELD)
        flags = value[0]
        self.flags = BootFlags(bool(flags & 0x80), bool(flags & 0x40), bool(flags & 0x20), selector, now_s)
        return Reply()

    def _get_boot_option(self, data: bytes) -> Reply:
        if not data:
            return Reply(TOO_SHORT)
        parameter = data[0] & 0x7F
        if parameter == 5:
            return Reply(data=bytes((1, 5)) + self.flags.encode())
        if parameter == 3:
            return Reply(data=bytes((1, 3, KEEP_AFTER_TIMEOUT * self._keep_after_timeout)))
        return Reply(NO_SUCH_PARAMETER)

    def _expire_flags(self, now_s: float) -> None:
        if self.flags.persistent or self._keep_after_timeout or not self.flags.valid:
            return
        if now_s - self.flags.set_at_s > ONCE_FLAGS_VALID_S:
            self.flags = replace(self.flags, valid=False)


def name_of(netfn: int, command: int, data: bytes) -> str:
    """How the audit log calls a command; unknown ones by their numbers."""
    if (netfn, command) == (CHASSIS, 0x02) and data and data[0] in CONTROLS:
        act = CONTROLS[data[0]]
        return f"chassis.power.{CONTROL_NAMES.get(act, act.value)}"
    known = COMMAND_NAMES.get((netfn, command))
    return known or f"raw.{netfn:#04x}.{command:#04x}"


COMPLETION_NAMES = {
    OK: "ok",
    0x80: "0x80 parameter not supported",
    0x81: "0x81 payload disabled",
    NODE_BUSY: "0xC0 node busy",
    UNKNOWN_COMMAND: "0xC1 invalid command",
    TOO_SHORT: "0xC7 request data length invalid",
    INVALID_FIELD: "0xCC invalid data field",
    0xD3: "0xD3 destination unavailable",
    NOT_NOW: "0xD5 not supported in present state",
    0xFF: "0xFF unspecified error",
}


def result_of(code: int) -> str:
    return COMPLETION_NAMES.get(code, f"{code:#04x}")

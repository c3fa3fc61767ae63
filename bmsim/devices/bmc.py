"""What a BMC makes of a command: its state and a request in, the answer and what is to be done out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.boot_flags import BootFlags

DONT_EXPIRE = 0x08
"""§28.13, parameter 3, bit 3: the 60 s rule is off."""

SOL_PAYLOAD, FIRST_INSTANCE = 1, 1
MAX_SOL_PAYLOAD_BYTES = 255
"""Its count of accepted characters is one byte (§15.9)."""

EXAMPLE_ENTERPRISE = 32473
"""The enterprise number for examples (RFC 5612): nobody's quirks are tried on us."""


class Act(StrEnum):
    """What is to be done before the answer may be given."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"
    RESET = "reset"
    DIAGNOSE = "diag"
    SHUT_DOWN = "soft"
    OPEN_CONSOLE = "open the console"
    CLOSE_CONSOLE = "close the console"
    RESTART_BMC = "restart the BMC"


CONTROLS = {0: Act.OFF, 1: Act.ON, 2: Act.CYCLE, 3: Act.RESET, 4: Act.DIAGNOSE, 5: Act.SHUT_DOWN}
"""§28.3, chassis control."""

NEEDS_POWER = frozenset({Act.CYCLE, Act.RESET, Act.DIAGNOSE, Act.SHUT_DOWN})
"""§28.3 recommends D5h for those of a machine that is off."""

STARTS = frozenset({Act.ON, Act.CYCLE, Act.RESET})
"""By which a machine boots."""


@dataclass(frozen=True, slots=True)
class Identity:
    """guid: 16 bytes, as RAKP has them too. port: UDP, of IPMI and so of SOL."""

    guid: bytes = bytes(16)
    port: int = 623
    firmware: tuple[int, int] = (1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """One command of an open session. `session` is the identifier that the BMC gave it."""

    netfn: int
    command: int
    data: bytes = b""
    session: int = 0
    privilege: int = ipmi.ADMINISTRATOR


@dataclass(frozen=True, slots=True)
class BmcState:
    """What a BMC remembers. Times are any seconds that never go back.

    sol_session: who has the serial console; 0: nobody.
    """

    identity: Identity = field(default_factory=Identity)
    flags: BootFlags = field(default_factory=BootFlags)
    flags_expire: bool = True
    sol_session: int = 0
    started_by_us: bool = False

    def at(self, now_s: float) -> BmcState:
        flags = self.flags.at(now_s)
        return self if flags is self.flags else replace(self, flags=flags)

    def started(self) -> BmcState:
        """The machine came out of a power-on or reset: flags for one boot are used up."""
        return replace(self, flags=self.flags.after_boot(), started_by_us=True)


@dataclass(frozen=True, slots=True)
class Decision:
    """`code`, `data` and `state` hold if `act`, where there is one, succeeds. reached: it was to switch to
    what is so already."""

    state: BmcState
    code: int = ipmi.OK
    data: bytes = b""
    act: Act | None = None
    reached: bool = False


def decide(state: BmcState, request: Request, *, now_s: float, on: bool) -> Decision:
    """The answer to one command. `on`: whether the machine is."""
    state = state.at(now_s)
    known = ipmi.COMMANDS.get((request.netfn, request.command))
    handler = known and HANDLERS.get(known[0])
    if known is None or handler is None:
        return Decision(state, ipmi.UNKNOWN_COMMAND)
    if request.privilege < known[1]:
        return Decision(state, ipmi.TOO_LITTLE_PRIVILEGE)
    return handler(state, request, now_s, on)


def _device_id(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    # §20.1: device, revision, firmware, IPMI 2.0 (low digit first), a chassis device, maker, product
    major, minor = state.identity.firmware
    maker, product = EXAMPLE_ENTERPRISE.to_bytes(3, "little"), (1).to_bytes(2, "little")
    return Decision(state, data=bytes((0x20, 0x01, major, minor, 0x02, 0x80)) + maker + product)


def _self_test(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    return Decision(state, data=b"\x55\x00")  # §20.4: no error


def _guid(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    return Decision(state, data=state.identity.guid)


def _restart_bmc(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    # Flags for all boots are kept in non-volatile storage.
    flags = state.flags if state.flags.persistent else BootFlags()
    return Decision(BmcState(identity=state.identity, flags=flags), act=Act.RESTART_BMC)


def _status(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    # §28.2: power and restore policy (stays off), last power event (by IPMI), no other chassis state
    return Decision(state, data=bytes((0x01 if on else 0x00, 0x10 if state.started_by_us else 0x00, 0x00)))


def _restart_cause(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    # §28.11: unknown, or chassis control; over the LAN channel
    return Decision(state, data=bytes((0x01 if state.started_by_us else 0x00, 0x01)))


def _control(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    if not request.data:
        return Decision(state, ipmi.LENGTH_INVALID)
    act = CONTROLS.get(request.data[0] & 0x0F)
    if act is None:
        return Decision(state, ipmi.INVALID_FIELD)
    if act in NEEDS_POWER and not on:
        return Decision(state, ipmi.NOT_IN_THIS_STATE)
    if on == (act is Act.ON) and act in (Act.ON, Act.OFF):
        return Decision(state, reached=True)
    return Decision(state.started() if act in STARTS else state, act=act)


def _set_boot_option(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    if len(request.data) < 2:
        return Decision(state, ipmi.LENGTH_INVALID)
    parameter, value = request.data[0] & 0x7F, request.data[1:]
    if parameter in (0, 4):  # set-in-progress, acknowledgements: nothing depends on them
        return Decision(state)
    if parameter == 3:
        expire = not value[0] & DONT_EXPIRE
        flags = state.flags if expire else replace(state.flags, expires_at_s=None)
        return Decision(replace(state, flags=flags, flags_expire=expire))
    if parameter != ipmi.BOOT_FLAGS_PARAMETER:
        return Decision(state, ipmi.PARAMETER_NOT_SUPPORTED)
    if len(value) < 5:
        return Decision(state, ipmi.LENGTH_INVALID)
    try:
        flags = BootFlags.decode(value, now_s=now_s, expire=state.flags_expire)
    except ValueError:
        return Decision(state, ipmi.INVALID_FIELD)
    return Decision(replace(state, flags=flags))


def _get_boot_option(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    if not request.data:
        return Decision(state, ipmi.LENGTH_INVALID)
    parameter = request.data[0] & 0x7F
    values = {
        0: b"\x00",
        3: bytes((0 if state.flags_expire else DONT_EXPIRE,)),
        ipmi.BOOT_FLAGS_PARAMETER: state.flags.encode(),
    }
    if parameter not in values:
        return Decision(state, ipmi.PARAMETER_NOT_SUPPORTED)
    return Decision(state, data=bytes((0x01, parameter)) + values[parameter])


def _sol_activate(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    if len(request.data) < 6:
        return Decision(state, ipmi.LENGTH_INVALID)
    if request.data[0] & 0x3F != SOL_PAYLOAD or request.data[1] & 0x0F != FIRST_INSTANCE:
        return Decision(state, ipmi.INVALID_FIELD)
    if state.sol_session:
        return Decision(state, ipmi.PAYLOAD_IN_USE)
    # §24.1: auxiliary data, largest payload that we take, largest that we send, UDP port, no VLAN
    size = MAX_SOL_PAYLOAD_BYTES.to_bytes(2, "little")
    answer = bytes(4) + size + size + state.identity.port.to_bytes(2, "little") + b"\xff\xff"
    return Decision(replace(state, sol_session=request.session), data=answer, act=Act.OPEN_CONSOLE)


def _sol_deactivate(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    """Any session may: it is how a console is taken over (§24.2)."""
    if len(request.data) < 2:
        return Decision(state, ipmi.LENGTH_INVALID)
    if not state.sol_session:
        return Decision(state, ipmi.PAYLOAD_NOT_ACTIVE)
    return Decision(replace(state, sol_session=0), act=Act.CLOSE_CONSOLE)


def _sol_status(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    return Decision(state, data=bytes((0x01, 0x01 if state.sol_session else 0x00, 0x00)))  # §24.4


def _sol_instance(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    return Decision(state, data=state.sol_session.to_bytes(4, "little") + bytes((0x01,)) + bytes(7))  # §24.5


def _sol_parameter(state: BmcState, request: Request, now_s: float, on: bool) -> Decision:
    if len(request.data) < 4:
        return Decision(state, ipmi.LENGTH_INVALID)
    values = {  # §26.3
        0: b"\x00",
        1: b"\x01",  # enabled
        2: bytes((0xC0 | ipmi.USER,)),  # always encrypted and authenticated
        3: b"\x04\xff",  # sent after 20 ms, or when a packet is full
        4: b"\x00\x32",  # again every 500 ms, as long as the session lasts
        5: b"\x0a",  # 115,200 bit/s
        6: b"\x0a",
        7: b"\x01",
        8: state.identity.port.to_bytes(2, "little"),
    }
    parameter = request.data[1]
    if parameter not in values:
        return Decision(state, ipmi.PARAMETER_NOT_SUPPORTED)
    return Decision(state, data=b"\x11" + values[parameter])


Handler = Callable[[BmcState, Request, float, bool], Decision]

HANDLERS: Mapping[str, Handler] = {
    "chassis.status": _status,
    "chassis.power": _control,
    "chassis.restart_cause": _restart_cause,
    "chassis.bootparam.set": _set_boot_option,
    "chassis.bootparam.get": _get_boot_option,
    "mc.info": _device_id,
    "mc.reset.cold": _restart_bmc,
    "mc.reset.warm": _restart_bmc,
    "mc.selftest": _self_test,
    "mc.guid": _guid,
    "sol.activate": _sol_activate,
    "sol.deactivate": _sol_deactivate,
    "sol.status": _sol_status,
    "sol.instance": _sol_instance,
    "sol.info": _sol_parameter,
}
"""Each command's handler by its name in `ipmi_codes.COMMANDS`."""

"""A machine, its BMC and its disk as one device: what one says of it is what the others do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act, BmcState, Identity, Request
from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.machine import Machine, Update
from bmsim.devices.messages import Began, Input, Output, PowerOff, PowerOn, Reset, ShutDown
from bmsim.faces.control import Control

BMC_RESTART_S = 20.0
"""How long a BMC is silent that was told to restart."""

ACTS: Mapping[Act, Input] = {
    Act.ON: PowerOn(),
    Act.OFF: PowerOff(),
    Act.CYCLE: Reset(),
    Act.RESET: Reset(),
    Act.SHUT_DOWN: ShutDown(),
}
"""An NMI is not among them: Linux notes one in its log, and goes on."""


@dataclass(frozen=True, slots=True)
class Reply:
    """code, data: a BMC's answer. name: the command's, as the audit log has it. why: of a refusal."""

    code: int
    data: bytes
    name: str
    why: str = ""


class Board:
    """Times are any seconds that never go back; `update` is to be called when it said so."""

    def __init__(self, machine: Machine, identity: Identity | None = None) -> None:
        self.machine = machine
        self._bmc = _Wiring(machine)
        self._control = Control(self._bmc, BmcState(identity or Identity()))

    @property
    def bmc(self) -> BmcState:
        return self._control.state

    def refuses_sessions(self, now_s: float) -> bool:
        """Whether its BMC has no free session, or none at all for being silent."""
        return self._control.faults.silent(now_s) or self._control.faults.no_free_session()

    def ipmi(self, request: Request, now_s: float) -> tuple[Reply | None, Update]:
        """None: silence. The update is of the machine, as from `update`."""
        self._bmc.now_s = now_s
        if self._control.faults.silent(now_s):
            return None, self.update(now_s)
        self._control.tick(now_s)
        name = ipmi.command_name(request.netfn, request.command, request.data)
        decision, why = self._control.execute(request, name, now_s, self._serve)
        return Reply(decision.code, decision.data, name, why), self.update(now_s)

    def update(self, now_s: float, inputs: Iterable[Input] = ()) -> Update:
        self._bmc.now_s = now_s
        return self._followed(self.machine.update(now_s, inputs), now_s)

    def give_faults(self, given: Mapping[str, Mapping[str, Any]], now_s: float) -> Update:
        """All that there are now of the board's devices, parameters completed."""
        self._bmc.now_s = now_s
        self._control.give_faults(given, now_s)
        return self._followed(self.machine.give_faults(given, now_s), now_s)

    def _followed(self, update: Update, now_s: float) -> Update:
        outputs = (*self._bmc.taken(), *update.outputs)
        if any(output == Began(by_guest=True) for output in update.outputs):
            self._control.guest_started(now_s)
        return replace(update, outputs=outputs)

    def _serve(self, act: Act) -> None:
        if act is Act.RESTART_BMC:
            self._control.restart(self._bmc.now_s, BMC_RESTART_S)


class _Wiring:
    """`faces.control.Machine`: the wires from a BMC to its machine."""

    def __init__(self, machine: Machine) -> None:
        self.now_s = 0.0
        self._machine = machine
        self._kept = b""
        self._outputs: list[Output] = []

    def is_on(self) -> bool:
        return self._machine.on

    def do(self, act: Act) -> None:
        if act in ACTS:
            self._outputs += self._machine.update(self.now_s, (ACTS[act],)).outputs

    def boot_next(self, device: BootDevice, kept: bytes) -> None:
        self._machine.boot_next, self._kept = device, kept

    def kept(self) -> bytes:
        return self._kept

    def own_device(self) -> BootDevice:
        return self._machine.own_device

    def taken(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

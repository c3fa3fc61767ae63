"""What a BMC does with a command: the model decides, its faults interfere, the machine carries out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Protocol

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import STARTS, Act, BmcState, Decision, Request, decide
from bmsim.devices.bmc_faults import BmcFaults
from bmsim.devices.boot_flags import PERSISTENT, BootDevice, BootFlags

RETRY_S = 1.0
"""How often the boot order is tried again when libvirt wouldn't take it."""


class MachineRefused(Exception):
    """It wasn't done. code: the completion code for it; the message tells why."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Machine(Protocol):
    """The machine behind the BMC. Every method is bounded in time, and raises MachineRefused."""

    def is_on(self) -> bool: ...

    def do(self, act: Act) -> None:
        """A power act; it is done when this returns, but for SHUT_DOWN, which is a request."""

    def boot_next(self, device: BootDevice, kept: bytes) -> None:
        """What the next boot comes from, be it by us or by the guest's own reset. Idempotent.

        kept: what the BMC wants to have back from `kept` when it has restarted.
        """

    def kept(self) -> bytes: ...

    def own_device(self) -> BootDevice:
        """What it boots from first when nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class _Postponed:
    """A command that was acknowledged. done: told, with the machine's reason where it wouldn't."""

    due_s: float
    request: Request
    name: str
    done: Callable[[str], None]


class Control:
    """Times are any seconds that never go back."""

    def __init__(self, machine: Machine, state: BmcState) -> None:
        self.state = state
        self.faults = BmcFaults()
        self._machine = machine
        self._ordered: tuple[BootDevice, bytes] | None = None
        self._restored = False
        self._next_try_s = float("-inf")
        self._postponed: list[_Postponed] = []

    @property
    def wake_at_s(self) -> float:
        """When `tick` has something to do at the latest; infinite: nothing that is known."""
        return min((one.due_s for one in self._postponed), default=inf)

    def give_faults(self, given: Mapping[str, Mapping[str, Any]], now_s: float) -> bool:
        """True: the BMC restarts by one of them."""
        restarts = self.faults.update(given, now_s)
        if restarts:
            self._lose_memory()
        return restarts

    def restart(self, now_s: float, silent_s: float) -> None:
        self.faults.restart(now_s, silent_s)
        self._lose_memory()

    def guest_started(self, now_s: float) -> None:
        """The machine began to boot without being told to by us: flags for one boot are used up."""
        self.state = replace(self.state, flags=self.state.flags.after_boot())
        self._follow_flags(now_s)

    def sol_ended(self) -> None:
        """The session with the console is gone."""
        self.state = replace(self.state, sol_session=0)

    def tick(self, now_s: float) -> None:
        """Flags expire; the machine is to follow, also where it wouldn't before. What was acknowledged and
        put off is carried out."""
        self.state = self.state.at(now_s)
        for one in [one for one in self._postponed if one.due_s <= now_s]:
            self._postponed.remove(one)
            self._carry_out(one, now_s)
        if self._ordered != self._order(self.state) and now_s >= self._next_try_s:
            self._follow_flags(now_s)

    def execute(
        self,
        request: Request,
        name: str,
        now_s: float,
        serve: Callable[[Act], None],
        done_later: Callable[[str], None] = lambda why: None,
    ) -> tuple[Decision, str]:
        """What was decided and done, and the machine's reason where it wouldn't.

        serve: does what isn't the machine's to do. done_later: told of what was only acknowledged by then,
        when it is done, with the machine's reason where it wouldn't.
        """
        refusal = self.faults.refusal(name, now_s)
        if refusal != ipmi.OK:
            return Decision(self.state, refusal), ""
        if name.startswith("chassis.power.") and (late_s := self.faults.late_s(name)):
            self._postponed.append(_Postponed(now_s + late_s, request, name, done_later))
            return Decision(self.state), f": in {late_s:g} s"
        try:
            return self._execute(request, name, now_s, serve), ""
        except MachineRefused as error:
            return Decision(self.state, error.code), f": {error}"

    def _carry_out(self, one: _Postponed, now_s: float) -> None:
        try:
            self._execute(one.request, one.name, now_s, lambda act: None)
        except MachineRefused as error:
            one.done(f": {error}")
        else:
            one.done("")

    def _execute(self, request: Request, name: str, now_s: float, serve: Callable[[Act], None]) -> Decision:
        chassis = request.netfn == ipmi.CHASSIS
        if chassis:
            self._restore_flags()
        on = self._machine.is_on() if chassis else False
        told = self.faults.told_power(on, now_s) if name == "chassis.status" else on
        decision = decide(self.state, request, now_s=now_s, on=told)
        if decision.reached and self.faults.busy_when_reached():
            return Decision(self.state, ipmi.NODE_BUSY)
        if decision.act is None:
            if decision.state.flags != self.state.flags:
                self._order_boot(decision.state)
            self.state = decision.state
        elif chassis:
            self._power(decision, decision.act, name, now_s)
        else:
            self.state = decision.state
            serve(decision.act)
        return decision

    def _power(self, decision: Decision, act: Act, name: str, now_s: float) -> None:
        if self.faults.swallows(name, now_s):
            return
        wanted = self.state.flags.override
        own = self._machine.own_device() if act in STARTS else BootDevice.UNCHANGED
        forgotten = (
            act in STARTS
            and wanted is not BootDevice.UNCHANGED
            and self.faults.forgets_boot_device(own=wanted is own)
        )
        if forgotten:
            self.state = replace(self.state, flags=BootFlags())
        self._order_boot(self.state)
        self._machine.do(act)
        overridden = wanted is not BootDevice.UNCHANGED and not forgotten
        self.faults.done(act, now_s, wanted if overridden else own)
        self.state = replace(decision.state, flags=BootFlags()) if forgotten else decision.state
        self._follow_flags(now_s)

    def _restore_flags(self) -> None:
        """Flags for all boots outlive the BMC's process. Raises MachineRefused: they aren't known yet."""
        kept = b"" if self._restored else self._machine.kept()
        self._restored = True
        if len(kept) >= 2 and kept[0] & PERSISTENT:
            self.state = replace(self.state, flags=BootFlags.decode(kept, now_s=0.0, expire=False))

    def _order_boot(self, state: BmcState) -> None:
        wanted = self._order(state)
        if wanted != self._ordered:
            self._machine.boot_next(*wanted)
            self._ordered = wanted

    def _follow_flags(self, now_s: float) -> None:
        """As `_order_boot`, where nobody waits for the outcome: it is tried again."""
        try:
            self._restore_flags()
            self._order_boot(self.state)
        except MachineRefused as error:
            self._next_try_s = now_s + RETRY_S
            print(f"the boot order is not as the flags say: {error}", file=sys.stderr, flush=True)

    def _order(self, state: BmcState) -> tuple[BootDevice, bytes]:
        flags = state.flags
        device = BootDevice.NETWORK if self.faults.always_netboots() else flags.override
        return device, flags.encode()[:2] if flags.valid and flags.persistent else b""

    def _lose_memory(self) -> None:
        self._postponed.clear()
        flags = self.state.flags if self.state.flags.persistent else BootFlags()
        self.state = BmcState(identity=self.state.identity, flags=flags)

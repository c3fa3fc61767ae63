"""A machine's BMC in the model: bmsim's own, without its packets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act, BmcState, Request
from bmsim.faces.control import Control, Machine
from bmsim.faces.ipmi import RESTART_S
from scenarios.runner.model.ipmitool import Login
from scenarios.runner.processes import as_world

NO_SESSION = "Error in open session response message : insufficient resources for session"
WRONG_PASSWORD = "RAKP 2 HMAC is invalid"


class ModelBmc:
    """`ipmitool.Bmc`. note(source, name, sender, **detail): its audit log."""

    def __init__(
        self,
        node: str,
        user: str,
        password: str,
        machine: Machine,
        now_s: Callable[[], float],
        note: Callable[..., None],
    ) -> None:
        self.node = node
        self._user = user
        self._password = password
        self._now_s = now_s
        self._note = note
        self._control = Control(machine, BmcState())
        self._faults: dict[str, Mapping[str, Any]] = {}
        self._told: dict[str, int] = {}  # how often each fault has struck, as far as it is noted

    def inject(self, fault: str, parameters: Mapping[str, Any]) -> None:
        self._faults[fault] = parameters
        self._control.give_faults(self._faults, self._now_s())
        self._note_strikes("")

    def heal(self, fault: str) -> None:
        self._faults.pop(fault, None)
        self._control.give_faults(self._faults, self._now_s())

    def login(self, user: str, password: str, sender: str) -> Login | None:
        answer = self._login(user, password, sender)
        self._note_strikes(sender)
        return answer

    def _login(self, user: str, password: str, sender: str) -> Login | None:
        if self._control.faults.silent(self._now_s()):
            return None
        if self._control.faults.no_free_session():
            self._note("bmc", "session.open", sender, result="0x01 insufficient resources")
            return Login(NO_SESSION)
        if (user, password) != (self._user, self._password) or self._control.faults.other_password():
            self._note("bmc", "session.open", sender, result="refused: wrong password")
            return Login(WRONG_PASSWORD)
        return Login()

    def command(self, netfn: int, command: int, data: bytes, sender: str) -> tuple[int, bytes] | None:
        answer = self._command(netfn, command, data, sender)
        self._note_strikes(sender)
        return answer

    def _command(self, netfn: int, command: int, data: bytes, sender: str) -> tuple[int, bytes] | None:
        now_s = self._now_s()
        if self._control.faults.silent(now_s):
            return None
        self._control.tick(now_s)
        name = ipmi.command_name(netfn, command, data)
        arguments = ipmi.arguments(name, data)
        decision, why = self._control.execute(
            Request(netfn, command, data, session=1),
            name,
            now_s,
            lambda act: self._serve(act, now_s),
            lambda why: self._note("bmc", name, sender, **arguments, result=f"ok{why}"),
        )
        self._note("bmc", name, sender, **arguments, result=f"{ipmi.result(name, decision.code)}{why}")
        if (wake_at_s := self._control.wake_at_s) < inf:
            as_world(asyncio.get_running_loop().call_later, wake_at_s - now_s, self._wake)
        return decision.code, decision.data

    def _wake(self) -> None:
        self._control.tick(self._now_s())

    def guest_started(self) -> None:
        """The machine began anew without being told to by its BMC."""
        self._control.guest_started(self._now_s())

    def _note_strikes(self, sender: str) -> None:
        for fault, times in self._control.faults.struck.items():
            if times != self._told.get(fault):
                self._told[fault] = times
                self._note("fault", "struck", sender, fault=fault)

    def _serve(self, act: Act, now_s: float) -> None:
        if act is Act.RESTART_BMC:
            self._control.restart(now_s, RESTART_S)

"""How a BMC misbehaves: its active faults, asked at each place where they can strike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act
from bmsim.devices.boot_flags import BootDevice

CHANGING = ("chassis.power.", "chassis.bootdev.set", "chassis.bootparam.set", "mc.reset.")

NEVER_S = float("-inf")


@dataclass(slots=True)
class _Active:
    parameters: Mapping[str, Any]
    since_s: float
    strikes: int = 0

    def strike(self) -> bool:
        """Whether it strikes now; counts it, where the fault has a count."""
        count = self.parameters.get("count")
        if count is not None and self.strikes >= count:
            return False
        self.strikes += 1
        return True

    def lasts(self, now_s: float) -> bool:
        for_s = self.parameters.get("for_s")
        return for_s is None or now_s < self.since_s + for_s


class BmcFaults:
    """Times are any seconds that never go back.

    struck: how often each fault has done something to somebody, since it was there first
    """

    def __init__(self) -> None:
        self.struck: dict[str, int] = {}
        self._active: dict[str, _Active] = {}
        self._silent_until_s = NEVER_S
        self._powered_off_at_s = NEVER_S
        self._started_at_s = NEVER_S

    def update(self, given: Mapping[str, Mapping[str, Any]], now_s: float) -> bool:
        """The faults that there are now, parameters completed. True: the BMC restarts by one of them.

        One that stays as it was keeps its count and its beginning.
        """
        fresh = {
            name: _Active(parameters, now_s)
            for name, parameters in given.items()
            if name not in self._active or self._active[name].parameters != parameters
        }
        kept = {name: active for name, active in self._active.items() if name in given}
        self._active = kept | fresh
        if "bmc.cold_reset" not in fresh:
            return False
        self._strikes("bmc.cold_reset")
        self.restart(now_s, fresh["bmc.cold_reset"].parameters["silent_s"])
        return True

    def restart(self, now_s: float, silent_s: float) -> None:
        self._silent_until_s = now_s + silent_s

    def done(self, act: Act, now_s: float, boots_from: BootDevice = BootDevice.UNCHANGED) -> None:
        """The machine was told to do something. boots_from: what it would if nothing were wrong."""
        if act in (Act.OFF, Act.SHUT_DOWN):
            self._powered_off_at_s = now_s
            self._started_at_s = NEVER_S
        elif act in (Act.ON, Act.CYCLE, Act.RESET):
            self._started_at_s = now_s
            if self.always_netboots() and boots_from is not BootDevice.NETWORK:
                self._strikes("boot.ignores_flag")

    def quiet(self, now_s: float) -> bool:
        """Whether it says nothing of itself."""
        return now_s < self._silent_until_s or self._lasting("bmc.silent", now_s) is not None

    def silent(self, now_s: float) -> bool:
        """Whether it hears nothing. Asked once for each message."""
        if self._lasting("bmc.silent", now_s) is not None:
            return self._strikes("bmc.silent")
        return now_s < self._silent_until_s

    def no_free_session(self) -> bool:
        return "bmc.sessions_exhausted" in self._active and self._strikes("bmc.sessions_exhausted")

    def other_password(self) -> bool:
        return "bmc.wrong_credentials" in self._active and self._strikes("bmc.wrong_credentials")

    def always_netboots(self) -> bool:
        """Whatever the flags say."""
        return "boot.ignores_flag" in self._active

    def refusal(self, name: str, now_s: float) -> int:
        """The completion code to refuse a command with, or OK."""
        if self._busy(name, now_s):
            return ipmi.NODE_BUSY
        post = self._active.get("bmc.boot_device_refused_during_post")
        if (
            post is not None
            and name == "chassis.bootdev.set"
            and now_s < self._started_at_s + post.parameters["post_s"]
        ):
            self._strikes("bmc.boot_device_refused_during_post")
            return ipmi.NOT_IN_THIS_STATE
        return ipmi.OK

    def busy_when_reached(self) -> bool:
        """Asked when it is to switch to what is so already."""
        busy = self._active.get("bmc.busy_when_reached")
        return busy is not None and busy.strike() and self._strikes("bmc.busy_when_reached")

    def swallows(self, name: str, now_s: float) -> bool:
        """Whether a command is acknowledged and not carried out."""
        transition = self._active.get("bmc.swallowed_in_transition")
        if transition is not None and name == "chassis.power.on":
            window_s = transition.parameters["window_s"]
            if now_s < self._powered_off_at_s + window_s:
                return self._strikes("bmc.swallowed_in_transition")
        lie = self._active.get("bmc.ack_not_done")
        return (
            lie is not None
            and name in lie.parameters["for_commands"]
            and lie.strike()
            and self._strikes("bmc.ack_not_done")
        )

    def late_s(self, name: str) -> float:
        """How long after its acknowledgement a command is carried out."""
        late = self._active.get("bmc.late")
        if late is None or name not in late.parameters["for_commands"] or not late.strike():
            return 0.0
        self._strikes("bmc.late")
        return float(late.parameters["by_s"])

    def forgets_boot_device(self, *, own: bool) -> bool:
        """Asked once for each boot that flags would decide. own: they name what the machine boots from
        anyway, so that nothing comes of it."""
        active = self._active.get("bmc.boot_device_forgotten")
        if active is None or not active.strike():
            return False
        return own or self._strikes("bmc.boot_device_forgotten")

    def told_power(self, on: bool, now_s: float) -> bool:
        lie = self._lasting("bmc.lies_about_power", now_s)
        if lie is None:
            return on
        says_on = lie.parameters["says_on"]
        told = not on if says_on is None else bool(says_on)
        if told != on:
            self._strikes("bmc.lies_about_power")
        return told

    def _busy(self, name: str, now_s: float) -> bool:
        busy = self._active.get("bmc.busy")
        if busy is None:
            return False
        commands, after_s = busy.parameters["for_commands"], busy.parameters["after_power_off_s"]
        concerned = name.startswith(CHANGING) if commands is None else name in commands
        if after_s is not None and now_s >= self._powered_off_at_s + after_s:
            return False
        return concerned and busy.strike() and self._strikes("bmc.busy")

    def _strikes(self, fault: str) -> bool:
        self.struck[fault] = self.struck.get(fault, 0) + 1
        return True

    def _lasting(self, name: str, now_s: float) -> _Active | None:
        active = self._active.get(name)
        return active if active is not None and active.lasts(now_s) else None

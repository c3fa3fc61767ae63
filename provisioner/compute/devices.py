"""Policy above the power drivers: one budget per device, retries, and change → wait → query → confirm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from provisioner.compute.breaker import BreakerPolicy, Breakers
from provisioner.compute.lease import LeaseKeeper
from provisioner.core.errors import DeviceBusy, DeviceUnreachable, ProvisionerError, TransientError
from provisioner.core.outlets import not_understood, on_their_way, told
from provisioner.core.states import PowerState
from provisioner.protocols.clock import Clock
from provisioner.protocols.power import (
    BootDevice,
    PowerControl,
    PowerVerb,
    controls_boot_device,
    is_feeds,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PowerPolicy:
    """How patient we are with a power device.

    patience_s:  how long a device may be silent or busy before that is an error (a BMC that restarts in
                 mid-deploy is away for a minute or two)
    handover_s:  how long it may be silent, when another compute host may be asked to try
    confirm_s:   how long a change of power may take until the device reports it
    resend_s:    an acknowledged command that had no effect is sent again after this (it was swallowed);
                 to outlets ever later, and not while they say that they are on their way, which would begin
                 anew
    poll_s:      pause between two queries
    breaker:     when a device that doesn't answer is left alone
    """

    patience_s: float = 180.0
    handover_s: float = 60.0
    confirm_s: float = 60.0
    resend_s: float = 10.0
    poll_s: float = 0.5
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(frozen=True, slots=True)
class Device:
    """A node's power device: its control, and the lock that keeps commands to it one at a time.

    key: the same for all nodes on one physical device, which share a turn and a breaker
    hurried: another compute host may be asked to try when this one hears nothing of it
    """

    name: str
    control: PowerControl
    turn: AbstractAsyncContextManager[object] = field(default_factory=nullcontext)
    key: str = ""
    hurried: bool = False

    @property
    def budget(self) -> str:
        """What its budget is kept under."""
        return self.key or self.name


class PowerSequencer:
    """Brings a node's power to where it should be, and says so only when the device confirmed it."""

    def __init__(self, lease: LeaseKeeper, clock: Clock, policy: PowerPolicy) -> None:
        self._lease = lease
        self._clock = clock
        self._policy = policy
        self.breakers = Breakers(clock, policy.breaker)
        self._busy_until_s: dict[str, float] = {}
        """By name of a device: of those whose command nobody has seen the end of."""

    async def state(self, device: Device, *, patience_s: float | None = None) -> PowerState:
        """What the device says, asked until it answers. Raises as PowerControl, after `patience_s`; at once
        when its breaker is open for longer than that (DeviceLeftAlone without any patience)."""
        return await self._patiently(device, device.control.power_state, patience_s)

    async def ensure(self, device: Device, wanted: PowerState, *, long_off: bool = True) -> bool:
        """Returns when the device confirms `wanted`; True when it wasn't so at first. Outlets that are
        found on their way, by whose command ever, are waited for before they are given another.

        Raises DeviceUnreachable/DeviceBusy (no answer for patience_s), TransientError (acknowledged and not
        done within confirm_s), and the permanent errors of PowerControl at once. What hangs on outlets has
        discharged when this returns from a change to off.

        long_off: whether what is off already has been for long. Where it may have been switched off by
        somebody who died before it had discharged, it is given that time.
        """
        async with self._alone(device):
            return await self._ensure(device, wanted, long_off=long_off)

    async def _ensure(self, device: Device, wanted: PowerState, *, long_off: bool) -> bool:
        verb = PowerVerb.ON if wanted is PowerState.ON else PowerVerb.OFF
        if await self.state(device) is wanted:
            if not long_off:
                await self._discharge(device.control, wanted)
            return False
        now_s = self._clock.monotonic_s()
        if moving(device.control, wanted) and await self._becomes(
            device, wanted, now_s, now_s + self._policy.confirm_s
        ):
            await self._discharge(device.control, wanted)
            return True
        end_s: float | None = None
        resend_s = self._policy.resend_s
        while True:
            await self._patiently(device, lambda: self._switch(device, verb, wanted), None, changes=True)
            # From the first acknowledgement: before it, the device may have been busy for as long (iDRAC10
            # is for 60 s after a power-off, Ironic 238c9e0cc).
            if end_s is None:
                end_s = self._clock.monotonic_s() + self._policy.confirm_s
            if await self._becomes(device, wanted, self._clock.monotonic_s() + resend_s, end_s):
                await self._discharge(device.control, wanted)
                return True
            if self._clock.monotonic_s() >= end_s:
                raise self._not_done(device, wanted)
            if is_feeds(device.control):
                resend_s *= 2  # one on its way may have no word for that

    async def _becomes(self, device: Device, wanted: PowerState, until_s: float, end_s: float) -> bool:
        """Whether the device says `wanted` by `until_s`; while outlets are on their way, by `end_s`. The last
        look begins when the time is up."""
        while True:
            now_s = self._clock.monotonic_s()
            if await self.state(device) is wanted:
                return True
            if now_s >= end_s or (now_s >= until_s and not moving(device.control, wanted)):
                return False
            await self._clock.sleep(self._policy.poll_s)

    def _not_done(self, device: Device, wanted: PowerState) -> TransientError:
        advice = "Look at the machine: its power feed, its BMC's event log"
        if is_feeds(device.control):
            advice = "Look at the outlet: its lamp and relay, and whether the PDU locks it"
        if moving(device.control, wanted):
            advice = "It says that it is on its way: raise deploy.power_confirm_s, or look at the outlet"
        return TransientError(
            f"switch power {wanted}",
            device=device.name,
            answer=f"acknowledged, but not {wanted} after {self._policy.confirm_s:.0f} s"
            + (f" ({feeds})" if (feeds := seen(device.control)) else ""),
            advice=advice,
        )

    async def _switch(self, device: Device, verb: PowerVerb, wanted: PowerState) -> None:
        """One command, or two. Some BMCs are busy as long as it is so already (LP 2119423): an order whose
        answer was lost, or that they were late to show, would be given until nobody has patience."""
        try:
            await device.control.set_power(verb)
        except DeviceBusy:
            await self._lease.cover(device.control.longest_command_s)
            if await device.control.power_state() is not wanted:
                raise

    async def send(self, device: Device, verb: PowerVerb) -> None:
        """One command, patiently, of which nothing can be confirmed. Returns when it must have been carried
        out: until then, who acts on the node, here or after a hand-over, may be overtaken by it."""
        async with self._alone(device):
            await self._send(device, verb)

    async def _send(self, device: Device, verb: PowerVerb) -> None:
        await self._patiently(device, lambda: device.control.set_power(verb), None, changes=True)
        await self._clock.sleep(device.control.longest_command_s)

    async def restart(self, device: Device, verb: PowerVerb) -> None:
        """CYCLE or RESET. Returns when it is on, confirmed. Outlets are cycled by off and on, both confirmed.
        Raises as `ensure`."""
        if is_feeds(device.control):
            await self.ensure(device, PowerState.OFF, long_off=False)
            await self.ensure(device, PowerState.ON)
            return
        async with self._alone(device):
            await self._send(device, verb)
            # How long a cycle pauses before it switches on is set in the BMC (IPMI 2.0 §28.9): whoever has
            # the node next finds that done.
            end_s = self._clock.monotonic_s() + self._policy.resend_s
            if not await self._becomes(device, PowerState.ON, end_s, end_s):
                await self._ensure(device, PowerState.ON, long_off=True)

    @asynccontextmanager
    async def _alone(self, device: Device) -> AsyncIterator[None]:
        """After a command whose sender was cancelled: the device may carry it out nevertheless, and ours may
        not be overtaken by it."""
        while (left_s := self._busy_until_s.get(device.name, 0.0) - self._clock.monotonic_s()) > 0:
            await self._clock.sleep(left_s)
        ended = True
        try:
            yield
        except asyncio.CancelledError:
            ended = False
            raise
        finally:
            if ended:
                self._busy_until_s.pop(device.name, None)

    async def _discharge(self, control: PowerControl, reached: PowerState) -> None:
        if reached is PowerState.OFF and is_feeds(control):
            await self._clock.sleep(control.discharge_s)

    async def ensure_boot_device(self, device: Device, wanted: BootDevice, *, uefi: bool) -> str:
        """Sets the persistent boot device and reads it back. Returns what was proven, for the timeline.

        Raises as PowerControl; TransientError when the device acknowledged and forgot it.
        """
        control = device.control
        if not controls_boot_device(control):
            return "its firmware's own boot order is used: the power device can't choose"
        async with self._alone(device):
            if await self._patiently(device, control.boot_device, None) is wanted:
                return f"boot device was {wanted} already"

            async def choose() -> None:
                await control.set_boot_device(wanted, persistent=True, uefi=uefi)

            await self._patiently(device, choose, None, changes=True)
            found = await self._patiently(device, control.boot_device, None)
        if found is not wanted:
            raise TransientError(
                f"set boot device {wanted}",
                device=device.name,
                answer=f"acknowledged, but reads back {found}",
            )
        return f"boot device {wanted} read back"

    async def _patiently(
        self,
        device: Device,
        attempt: Callable[[], Awaitable[T]],
        patience_s: float | None,
        *,
        changes: bool = False,
    ) -> T:
        """changes: it is a command, and no question."""
        patience_s = self._policy.patience_s if patience_s is None else patience_s
        silence_s = min(patience_s, self._policy.handover_s) if device.hurried else patience_s
        working = patience_s > 0
        begun_s = self._clock.monotonic_s()
        delay_s = self._policy.poll_s
        while True:
            try:
                async with device.turn:
                    pause_s = self.breakers.wait_s(device.budget, working=working)
                    if not pause_s:
                        return await self._attempt(device, attempt, changes=changes)
            except TransientError as error:
                silent = isinstance(error, DeviceUnreachable)
                most_s = silence_s if silent else patience_s
                if self._clock.monotonic_s() + delay_s >= begun_s + most_s:
                    if silent and working:
                        error.add_note(f"tried for {most_s:.0f} s")
                    raise
                pause_s = delay_s
                delay_s = min(delay_s * 2, 5.0)
            else:
                if self._clock.monotonic_s() + pause_s >= begun_s + silence_s:
                    tried = "reach the power device"
                    raise self.breakers.refusal(device.budget, tried, device.name, working=working)
            await self._clock.sleep(pause_s)

    async def _attempt(self, device: Device, attempt: Callable[[], Awaitable[T]], *, changes: bool) -> T:
        """One command, within the lease. What comes of it is the breaker's news."""
        longest_s = device.control.longest_command_s
        await self._lease.cover(longest_s, changes=changes)
        if changes:
            self._busy_until_s[device.name] = self._clock.monotonic_s() + longest_s
        try:
            result = await attempt()
        except DeviceUnreachable as error:
            self.breakers.failed(device.budget, error)
            raise
        except ProvisionerError:
            self.breakers.answered(device.budget)  # busy, or refused: it can be reached
            raise
        self.breakers.answered(device.budget)
        return result


def seen(control: PowerControl) -> str:
    """What is known beyond on and off: of outlets, which one is what. Empty of other devices."""
    return told(control.last_seen()) if is_feeds(control) else ""


def unclear(control: PowerControl) -> str:
    """Of that, what nobody understands. A BMC that says neither on nor off has no more words for it."""
    return not_understood(control.last_seen()) if is_feeds(control) else ""


def moving(control: PowerControl, wanted: PowerState) -> bool:
    """Whether outlets were seen on their way, all that weren't `wanted` yet. No BMC says so."""
    return is_feeds(control) and on_their_way(control.last_seen().values(), wanted)

"""Power devices that have stopped answering are left alone for a while, and probed by one caller at a time.

A device's failures in a row open its breaker. Whoever can't wait is told at once then, instead of paying the
device's timeouts again; whoever works on a node goes on asking, but not more often than `WORK_PROBE_S`, so
that a BMC that comes back in mid-deploy is found as soon as without a breaker.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from provisioner.core.errors import DeviceUnreachable
from provisioner.protocols.clock import Clock
from provisioner.protocols.power import DeviceSilence

log = structlog.get_logger(__name__)

WORK_PROBE_S = 5.0
ADVICE = "Look at its power and its network"

FORGET_S = 3600.0
"""A device that nobody asked for so long is forgotten: its node is gone, as a rule."""


class DeviceLeftAlone(DeviceUnreachable):
    """The device has not answered several times in a row, and is not asked for now."""

    code = "device-left-alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """failures: without an answer, in a row, that open a breaker
    first_pause_s, longest_pause_s: how long a device is left alone; doubled at every probe that fails"""

    failures: int = 5
    first_pause_s: float = 10.0
    longest_pause_s: float = 120.0


@dataclass(slots=True)
class _Failing:
    failures: int
    tried_at_s: float
    pause_s: float
    last_error: str
    advice: str = ADVICE


class Breakers:
    """One per device. Devices that answer take no memory."""

    def __init__(self, clock: Clock, policy: BreakerPolicy) -> None:
        self._clock = clock
        self._policy = policy
        self._failing: dict[str, _Failing] = {}

    def wait_s(self, key: str, *, working: bool) -> float:
        """For how long the device is not to be asked; 0 when it may be. Ask with the device's turn held:
        then there is one probe at a time."""
        failing = self._open(key)
        if failing is None:
            return 0.0
        pause_s = min(failing.pause_s, WORK_PROBE_S) if working else failing.pause_s
        return max(0.0, failing.tried_at_s + pause_s - self._clock.monotonic_s())

    def refusal(self, key: str, tried: str, device: str, *, working: bool) -> DeviceUnreachable:
        """The error for whoever doesn't wait, or has waited for long enough: to work that asked again and
        again, the device is silent, and not left alone."""
        failing = self._failing[key]
        if working:
            answer = f"{failing.failures} failures in a row; the last: {failing.last_error}"
            return DeviceUnreachable(tried, device=device, answer=answer, advice=failing.advice)
        return DeviceLeftAlone(
            tried,
            device=device,
            answer=f"left alone after {failing.failures} failures in a row, asked again in"
            f" {self.wait_s(key, working=False):.0f} s; the last: {failing.last_error}",
            advice=failing.advice,
        )

    def answered(self, key: str) -> None:
        """Whatever it answered: it can be reached."""
        failing = self._failing.pop(key, None)
        if failing is not None and failing.failures >= self._policy.failures:
            log.info("device.answers_again", device=key, failures=failing.failures)

    def failed(self, key: str, error: DeviceUnreachable) -> None:
        policy, now_s = self._policy, self._clock.monotonic_s()
        if key not in self._failing:
            self._forget_before(now_s - FORGET_S)
        failing = self._failing.setdefault(key, _Failing(0, now_s, 0.0, ""))
        failing.failures += 1
        failing.tried_at_s = now_s
        failing.last_error = error.answer or error.tried
        failing.advice = error.advice or ADVICE
        if failing.failures >= policy.failures:
            failing.pause_s = min(max(policy.first_pause_s, failing.pause_s * 2), policy.longest_pause_s)
        if failing.failures == policy.failures:
            log.warning("device.left_alone", device=key, failures=failing.failures, cause=failing.last_error)

    def silence(self, key: str) -> DeviceSilence | None:
        """None while its breaker is closed."""
        failing = self._open(key)
        if failing is None:
            return None
        return DeviceSilence(
            failures=failing.failures,
            retry_in_s=self.wait_s(key, working=False),
            last_error=failing.last_error,
        )

    def count_open(self) -> int:
        return sum(one.failures >= self._policy.failures for one in self._failing.values())

    def _forget_before(self, end_s: float) -> None:
        self._failing = {key: one for key, one in self._failing.items() if one.tried_at_s >= end_s}

    def _open(self, key: str) -> _Failing | None:
        failing = self._failing.get(key)
        return failing if failing is not None and failing.failures >= self._policy.failures else None

"""A sleep on a machine that is suspended, during which the event loop's own clock stands still."""

from __future__ import annotations

import asyncio
import time

import pytest

from provisioner.services import system
from provisioner.services.system import SystemClock

HOUR_S = 3600.0


def test_a_sleep_counts_the_time_for_which_the_machine_was_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "AWAKE_S", 0.01)
    truly, looks = time.clock_gettime, 0

    def suspended_after_the_first_look(clock: int) -> float:
        nonlocal looks
        looks += 1
        return truly(clock) + (HOUR_S if looks > 1 else 0)

    monkeypatch.setattr(time, "clock_gettime", suspended_after_the_first_look)
    asyncio.run(asyncio.wait_for(SystemClock().sleep(HOUR_S), 30))


def test_a_sleep_lasts_no_less_than_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "AWAKE_S", 0.01)
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    asyncio.run(clock.sleep(0.035))
    assert clock.monotonic_s() - begun_s >= 0.035

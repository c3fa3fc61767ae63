"""This machine's clock and randomness."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from pathlib import Path

AWAKE_S = 0.5
"""Between two looks at the clock of one who sleeps: what the event loop waits by stands still while the
machine is suspended."""


class SystemClock:
    """`protocols.clock.Clock` by the kernel's monotonic clock, which also runs while we are frozen."""

    def monotonic_s(self) -> float:
        # CLOCK_BOOTTIME rather than CLOCK_MONOTONIC: a suspended machine's lease must not survive.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, duration_s: float) -> None:
        end_s = self.monotonic_s() + duration_s
        await asyncio.sleep(min(duration_s, AWAKE_S))
        while (left_s := end_s - self.monotonic_s()) > 0:  # noqa: ASYNC110  # a clock has no event to wait for
            await asyncio.sleep(min(left_s, AWAKE_S))


class RandomIds:
    """`protocols.ids.Ids` by the kernel's random generator."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def secret(self) -> str:
        return secrets.token_hex(16)


def boot_id() -> str:
    """Of this machine since it was started: no other one has it (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

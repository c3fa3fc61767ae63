"""This machine's clock and randomness."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from pathlib import Path


class SystemClock:
    """`protocols.clock.Clock` by the kernel's monotonic clock, which also runs while we are frozen."""

    def monotonic_s(self) -> float:
        # CLOCK_BOOTTIME rather than CLOCK_MONOTONIC: a suspended machine's lease must not survive.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)


class RandomIds:
    """`protocols.ids.Ids` by the kernel's random generator."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def secret(self) -> str:
        return secrets.token_hex(16)


def boot_id() -> str:
    """Of this machine since it was started: no other one has it (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

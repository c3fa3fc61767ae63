"""Time and chance of a simulated world."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from random import Random

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""The store's wall clock when a story begins."""


def chance(seed: int, purpose: str) -> Random:
    """A stream of its own for each purpose: one more draw for one of them changes nothing for the others."""
    return Random(f"{seed}:{purpose}")


class WorldClock:
    """`provisioner.protocols.clock.Clock` of the running virtual loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ahead_s = 0.0  # what the wall clock has jumped
        self._loop = loop

    def monotonic_s(self) -> float:
        return self._loop.time()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)

    def wall(self) -> datetime:
        """The store's clock."""
        return BEGINNING + timedelta(seconds=self._loop.time() + self.ahead_s)


class SeededIds:
    """`provisioner.protocols.ids.Ids` that a seed foretells. Remembers its secrets, for whoever looks for
    them where they must not be."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.secrets: list[str] = []

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def secret(self) -> str:
        secret = f"{self._random.getrandbits(128):032x}"
        self.secrets.append(secret)
        return secret

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """A host's own time. Never the wall clock: that one is the store's."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Returns after at least `duration_s` of this clock, and no more than moments later: also when the
        machine was suspended meanwhile."""
        ...

"""Lease arithmetic. All times are a host's own monotonic seconds, never the wall clock.

A host records its monotonic time before it sends a renewal and counts from there, so that its own
idea of the end is never later than the database's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """A compute host's right to act, as the host itself counts it."""

    host: str
    epoch: int
    ttl_s: float
    asked_at_s: float

    @property
    def ends_at_s(self) -> float:
        return self.asked_at_s + self.ttl_s

    @property
    def renew_every_s(self) -> float:
        """Early enough for a second try, and no oftener: each costs the database a commit."""
        return 0.36 * self.ttl_s

    @property
    def leave_by_s(self) -> float:
        """When to stop serving, to have stopped when it ends."""
        return self.ends_at_s - self.ttl_s / 10

    @property
    def retry_every_s(self) -> float:
        """After a renewal that failed."""
        return self.ttl_s / 10

    def covers(self, now_s: float, duration_s: float) -> bool:
        """Whether something that takes at most `duration_s` ends before the lease does."""
        return now_s + duration_s < self.ends_at_s

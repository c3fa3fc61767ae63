"""How long hosts may act, as somebody sees it who looks now and then and holds no lease.

Counted by its own monotonic clock as soon as it has looked twice. Until then the store's wall clock is all
there is to go by, which may have been set since the host has told it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from provisioner.core.model import Host


@dataclass(frozen=True, slots=True)
class _Seen:
    """at_s: when the beat was seen first; looked_s: last. heard: it was renewed since the look before, which
    was less than a lease ago."""

    beat: tuple[datetime, int]
    at_s: float
    looked_s: float
    heard: bool


@dataclass(frozen=True, slots=True)
class Left:
    """left_s: for how long the host may act; 0: it is gone. certain: no clock that was set can make it
    otherwise."""

    left_s: float
    certain: bool


class SeenLeases:
    """What one process knows of hosts' leases."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def look(self, host: Host, wall: datetime, now_s: float) -> Left:
        """wall: of the store, now_s: monotonic; both from after the row was read."""
        lease_s, beat = host.ttl_ms / 1000, (host.started_at, host.beat)
        before = self._seen.get(host.id)
        if before is not None and before.beat == beat:
            seen = replace(before, looked_s=now_s)
        else:
            heard = before is not None and now_s - before.looked_s < lease_s
            seen = _Seen(beat, now_s, now_s, heard)
        self._seen[host.id] = seen
        if host.released:
            return Left(0.0, certain=True)
        silent_s = now_s - seen.at_s
        if seen.heard or silent_s >= lease_s:
            return Left(max(0.0, lease_s - silent_s), certain=True)
        told_s = max(0.0, (wall - host.renewed_at).total_seconds())
        return Left(max(0.0, lease_s - told_s), certain=False)

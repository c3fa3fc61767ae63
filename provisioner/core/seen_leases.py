"""How long hosts may act, as somebody sees it who looks now and then and holds no lease.

Counted by its own monotonic clock as soon as it has looked twice. Until then the store's wall clock is all
there is to go by, which may have been set since the host has told it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from provisioner.core.model import Host


@dataclass(frozen=True, slots=True)
class _Seen:
    """heard: it was renewed since the look before, which was less than a lease ago."""

    beat: tuple[datetime, int]
    at_s: float
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
        self._looked_s: dict[str, float] = {}

    def look(self, host: Host, wall: datetime, now_s: float) -> Left:
        """wall: of the store, now_s: monotonic; both from after the row was read."""
        lease_s = host.ttl_ms / 1000
        looked_s = self._looked_s.get(host.id)
        self._looked_s[host.id] = now_s
        seen, beat = self._seen.get(host.id), (host.started_at, host.beat)
        if seen is None or seen.beat != beat:
            heard = seen is not None and looked_s is not None and now_s - looked_s < lease_s
            seen = self._seen[host.id] = _Seen(beat, now_s, heard)
        if host.released:
            return Left(0.0, certain=True)
        silent_s = now_s - seen.at_s
        if seen.heard or silent_s >= lease_s:
            return Left(max(0.0, lease_s - silent_s), certain=True)
        told_s = max(0.0, (wall - host.renewed_at).total_seconds())
        return Left(max(0.0, lease_s - told_s), certain=False)

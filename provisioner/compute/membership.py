"""Which compute hosts live, as one of them sees it: by how long ago it saw a lease being renewed.

Counted by the observer's own monotonic clock, so that no wall clock, the store's neither, can make a host
dead or immortal. A renewal is seen after it was stored, and its holder counts from before it asked for it:
nobody is taken for dead while it may act.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from provisioner.core.model import Host


@dataclass(frozen=True, slots=True)
class _Seen:
    beat: tuple[datetime, int]
    at_s: float


class Membership:
    """What `host` knows of the others; itself it takes for alive."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._seen: dict[str, _Seen] = {}

    def observe(self, rows: Iterable[Host], now_s: float) -> None:
        """now_s: from after they were read."""
        for row in rows:
            # Not the epoch: who buries a host raises it, and would see it rise from the dead.
            beat = (row.started_at, row.beat)
            known = self._seen.get(row.id)
            if known is None or known.beat != beat:
                self._seen[row.id] = _Seen(beat, now_s)

    def left_s(self, row: Host, now_s: float) -> float:
        """Until it can be taken for dead unless it is heard of; 0: it can. Infinite for ourselves."""
        if row.id == self._host:
            return float("inf")
        if row.released:
            return 0.0
        return max(0.0, self._seen[row.id].at_s + row.ttl_ms / 1000 - now_s)

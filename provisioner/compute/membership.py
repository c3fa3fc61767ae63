"""Which compute hosts live, as one of them sees it: by how long ago it saw a lease being renewed.

Counted by the observer's own monotonic clock, so that no wall clock, the store's neither, can make a host
dead or immortal. A renewal is seen after it was stored, and its holder counts from before it asked for it:
nobody is taken for dead while it may act.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import inf

from provisioner.core.model import Host


@dataclass(frozen=True, slots=True)
class _Seen:
    row: Host
    beat_at_s: float

    @property
    def beat(self) -> tuple[datetime, int]:
        """Not the epoch: who buries a host raises it, and would see it rise from the dead."""
        return self.row.started_at, self.row.beat


class Membership:
    """What `host` knows of the others; itself it takes for alive."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._seen: dict[str, _Seen] = {}

    def observe(self, rows: Iterable[Host], now_s: float) -> None:
        """rows: all that there are. now_s: from after they were read."""
        fresh = {row.id: _Seen(row, now_s) for row in rows}
        for id, seen in fresh.items():
            known = self._seen.get(id)
            if known is not None and known.beat == seen.beat:
                fresh[id] = _Seen(seen.row, known.beat_at_s)
        self._seen = fresh

    def missing(self, now_s: float) -> frozenset[str]:
        """Those that can be taken for dead, by what was seen last."""
        return frozenset(id for id, seen in self._seen.items() if not self.left_s(seen.row, now_s))

    def takers(self, now_s: float) -> frozenset[str]:
        """Others that nodes can be given to, by what was seen last."""
        rows = (seen.row for seen in self._seen.values())
        return frozenset(
            row.id for row in rows if row.id != self._host and row.takes_nodes and self.left_s(row, now_s)
        )

    def next_lapse_s(self, now_s: float) -> float:
        """Until the next of them can be taken for dead unless it is heard of; infinite: none."""
        left = (self.left_s(seen.row, now_s) for seen in self._seen.values())
        return min((left_s for left_s in left if left_s), default=inf)

    def left_s(self, row: Host, now_s: float) -> float:
        """Until it can be taken for dead unless it is heard of; 0: it can. Infinite for ourselves."""
        if row.id == self._host:
            return inf
        if row.released:
            return 0.0
        return max(0.0, self._seen[row.id].beat_at_s + row.ttl_ms / 1000 - now_s)

"""What compute hosts can still offer, from the store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from provisioner.core.capacity import Size, largest
from provisioner.core.model import Host, Node
from provisioner.core.placement.filters.health import FAILURES_IN_A_ROW
from provisioner.core.states import ProvisionState
from provisioner.protocols.clock import Clock
from provisioner.protocols.store import Store, Tx

FREE: Mapping[str, object] = {"state": ProvisionState.AVAILABLE, "maintenance": False, "instance_id": None}
OFFERED: Mapping[str, object] = {**FREE, "deploy_failures": tuple(range(FAILURES_IN_A_ROW))}
"""Those that the scheduler gives to whoever names none."""

NOTHING = Size(0, 0, 0)

AT_ONCE = 512
"""Nodes of which so little is read in one transaction."""

ANEW_EVERY_S = 5.0


def offered_by(tx: Tx, host: Host) -> Size | None:
    """The largest node that can still be had of this host, which lives. None: none can."""
    return largest(tx.pick(Node, *Size._fields, where={**OFFERED, "owner": host.id}))


class Offers:
    """The same of all hosts, for whoever may ask as often as it likes: found every ANEW_EVERY_S at most, and
    shared."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._found: Mapping[str, Size] = {}
        self._until_s = -math.inf

    async def largest(self, store: Store, clock: Clock) -> Mapping[str, Size]:
        """By host; nothing of one that has no free node."""
        async with self._lock:
            if clock.monotonic_s() >= self._until_s:
                self._found = await _largest_of_each(store)
                self._until_s = clock.monotonic_s() + ANEW_EVERY_S
        return self._found


async def _largest_of_each(store: Store) -> dict[str, Size]:
    found: dict[str, Size] = {}
    after: str | None = None
    while True:
        rows = await store.transact(partial(_some_sizes, after))
        for _, owner, *size in rows:
            one = Size(*size)
            if owner is not None and one > found.get(owner, NOTHING):
                found[owner] = one
        if len(rows) < AT_ONCE:
            return found
        after = rows[-1][0]


def _some_sizes(after: str | None, tx: Tx) -> list[tuple[Any, ...]]:
    return tx.pick(Node, "id", "owner", *Size._fields, where=OFFERED, after=after, limit=AT_ONCE)

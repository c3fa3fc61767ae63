"""Fair order among tenants whose requests wait: start-time fair queueing.

A tenant's waiting requests have numbers that go on from its last one that was served, and none is below the
number that was served last of all. The lowest goes first. So who asks for a thousand at once holds up nobody
who asks for one; who was away gains nothing by it; and nobody starves: with each that is served, the others'
numbers come nearer, and of equal ones the eldest is first.

Source: P. Goyal, H. M. Vin, H. Cheng, Start-time Fair Queueing, IEEE/ACM Transactions on Networking 5 (1997),
with one node as the length of every request.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from provisioner.core.model import Instance

MOST_TENANTS = 1024
"""Remembered, before those are forgotten of whom there is nothing to remember."""


class Turn(NamedTuple):
    number: int
    instance: Instance


class Turns:
    """Remembers who was served. A new one is fair from its first turn on."""

    def __init__(self) -> None:
        self._now = 0
        self._next: dict[str, int] = {}

    def order(self, waiting: Iterable[Instance]) -> list[Turn]:
        """All of them, first to last."""
        taken: dict[str, int] = {}
        turns = []
        for instance in sorted(waiting, key=_age):
            tenant = instance.tenant
            number = taken[tenant] if tenant in taken else max(self._now, self._next.get(tenant, 0))
            taken[tenant] = number + 1
            turns.append(Turn(number, instance))
        turns.sort(key=_number)  # stable: of equal ones the eldest stays first
        return turns

    def served(self, turn: Turn) -> None:
        """It has what it asked for."""
        self._now = max(self._now, turn.number)
        tenant = turn.instance.tenant
        self._next[tenant] = max(self._next.get(tenant, 0), turn.number + 1)
        if len(self._next) > MOST_TENANTS:
            # The others would begin with the number of now anyway.
            self._next = {tenant: next for tenant, next in self._next.items() if next > self._now}


_age = attrgetter("created_at", "launch_index", "id")
_number = attrgetter("number")

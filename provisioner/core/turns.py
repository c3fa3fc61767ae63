"""Fair order among tenants whose requests wait: start-time fair queueing.

A tenant's waiting requests have numbers that go on from its last one that was served, and none is below the
number that was served last of all. The lowest goes first. So who asks for a thousand at once holds up nobody
who asks for one; who was away gains nothing by it; and nobody starves: with each that is served, the others'
numbers come nearer, and of equal ones the eldest is first.

Source: P. Goyal, H. M. Vin, H. Cheng, Start-time Fair Queueing, IEEE/ACM Transactions on Networking 5 (1997),
with one node as the length of every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from operator import attrgetter
from typing import NamedTuple

MOST_TENANTS = 1024
"""Remembered, before those are forgotten of whom there is nothing to remember."""


class Request(NamedTuple):
    """What its turn depends upon, named as the instance's fields are."""

    id: str
    tenant: str
    created_at: datetime
    launch_index: int


class Turn(NamedTuple):
    number: int
    request: Request


class Turns:
    """Remembers who was served. A new one is fair from its first turn on."""

    def __init__(self) -> None:
        self._now = 0
        self._next: dict[str, int] = {}

    def order(self, waiting: Iterable[Sequence[Request]]) -> Iterator[Turn]:
        """All of them, first to last, until some are served. waiting: for each tenant its own by age, which
        stay as they are meanwhile. Who takes only the first pays only for these."""
        first = []
        for queue in filter(None, waiting):
            number = max(self._now, self._next.get(queue[0].tenant, 0))
            first.append((number, age(queue[0]), 0, queue))
        heapify(first)
        while first:
            number, _, place, queue = first[0]
            yield Turn(number, queue[place])
            if place + 1 < len(queue):
                heapreplace(first, (number + 1, age(queue[place + 1]), place + 1, queue))
            else:
                heappop(first)

    def served(self, turn: Turn) -> None:
        """It has what it asked for."""
        self._now = max(self._now, turn.number)
        tenant = turn.request.tenant
        self._next[tenant] = max(self._next.get(tenant, 0), turn.number + 1)
        if len(self._next) > MOST_TENANTS:
            # The others would begin with the number of now anyway.
            self._next = {tenant: next for tenant, next in self._next.items() if next > self._now}


age = attrgetter("created_at", "launch_index", "id")
"""By which one tenant's requests are sorted."""

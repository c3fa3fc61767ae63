"""A line for work that looks at every node: of each tenant one at a time, so that however many ask, the store
and the loop are others' in between."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from provisioner.core.errors import TransientError

MOST = 32
MOST_OF_ONE = 4
"""In line, of one tenant: so that nobody fills it alone."""


class Line:
    """Of one process. Each tenant has its own: nobody waits for another's."""

    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._in_it: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Waits for it. Raises TransientError when too many do."""
        total, own = self._in_it.total(), self._in_it[tenant]
        if total >= self._most or own >= self._most_of_one:
            who = f"{own} of tenant {tenant}" if own >= self._most_of_one else f"{total}"
            raise TransientError(
                "look at all nodes",
                answer=f"{who} wait for their turn at it",
                advice="Try again after `Retry-After` seconds",
            )
        self._in_it[tenant] += 1
        try:
            async with self._turns[tenant]:
                yield
        finally:
            self._in_it[tenant] -= 1
            if not self._in_it[tenant]:
                del self._in_it[tenant], self._turns[tenant]

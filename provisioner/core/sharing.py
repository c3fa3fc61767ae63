"""Which compute host gets which nodes: whoever has fewest, and no more moves than even shares take."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping


def hand_out(owned: Mapping[str, int]) -> Iterator[str]:
    """Who gets the next node, and the next, without an end. owned: nodes of each host that can take some, at
    least one host."""
    if not owned:
        raise ValueError("there is no host to hand nodes out to")
    heap = [(number, host) for host, number in owned.items()]
    heapq.heapify(heap)
    while True:
        number, host = heap[0]
        yield host
        heapq.heapreplace(heap, (number + 1, host))


def surplus(host: str, owned: Mapping[str, int]) -> int:
    """How many nodes `host` has beyond an even share, rounded up so that nothing moves to and fro."""
    share = -(-sum(owned.values()) // len(owned))
    return max(0, owned[host] - share)

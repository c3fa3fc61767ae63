"""What a compute host can still offer: a bare-metal instance takes a whole node, so that sums say nothing. It
is the largest of its free nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Size(NamedTuple):
    """Of a node. In the order of its fields the scheduler compares them, too."""

    memory_mib: int
    cpus: int
    disk_mib: int


def largest(sizes: Iterable[tuple[int, int, int]]) -> Size | None:
    """sizes: memory_mib, cpus and disk_mib of each free node. None: there is none."""
    found = max(sizes, default=None)
    return None if found is None else Size(*found)

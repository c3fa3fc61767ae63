"""What a command to several outlets has left to do when it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from provisioner.protocols.power import PowerVerb

Outlet = TypeVar("Outlet")

LATELY_S = 30.0
"""Tries of one command follow each other faster, and nobody replaces a PDU in that time."""


class Tries(Generic[Outlet]):
    """Those that have acknowledged aren't told again while another one fails: they may be on their way, which
    would begin anew. When all have, or after a while, or by another verb, all are told."""

    def __init__(self, outlets: Sequence[Outlet]) -> None:
        self._outlets = outlets
        self._verb: PowerVerb | None = None
        self._left: list[Outlet] = []
        self._tried_s = float("-inf")  # when the last one ended

    @contextmanager
    def one(self, verb: PowerVerb) -> Iterator[tuple[Outlet, ...]]:
        """Gives whom to tell."""
        time_s = asyncio.get_running_loop().time
        if verb is not self._verb or not self._left or time_s() >= self._tried_s + LATELY_S:
            self._verb, self._left = verb, list(self._outlets)
        try:
            yield tuple(self._left)
        finally:
            self._tried_s = time_s()

    def acknowledged(self, outlet: Outlet) -> None:
        self._left.remove(outlet)

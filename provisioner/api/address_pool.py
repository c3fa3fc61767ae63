"""Addresses for ports that name none."""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Address

from provisioner.core.errors import Conflict
from provisioner.core.model import Port
from provisioner.protocols.store import Tx

LOOK = 16
"""Candidates looked up at once."""


class AddressPool:
    """From `first` to `last`, taken in turn: the address of a deleted node rests as long as it can,
    since what is left of that machine may still answer at it."""

    def __init__(
        self, first: IPv4Address, last: IPv4Address, fault: Callable[[IPv4Address], str] = lambda address: ""
    ) -> None:
        """fault: why an address that is asked for can't be a node's; empty when it can."""
        self.fault = fault
        self._first = int(first)
        self._size = int(last) - int(first) + 1
        # A hint, no truth: the store says what is taken, and a transaction that is run again loses nothing.
        self._next = 0

    def take(self, tx: Tx, count: int, *, but: Collection[str] = ()) -> list[str]:
        """`count` addresses that no port has, none of them in `but`. Raises Conflict."""
        found: list[str] = []
        for begin in range(0, self._size, LOOK):
            if len(found) >= count:
                break
            places = [(self._next + n) % self._size for n in range(begin, min(begin + LOOK, self._size))]
            candidates = [str(IPv4Address(self._first + place)) for place in places]
            taken = {port.address for port in tx.find(Port, where={"address": tuple(candidates)})}
            found += [address for address in candidates if address not in taken and address not in but]
        if len(found) < count:
            first, last = IPv4Address(self._first), IPv4Address(self._first + self._size - 1)
            raise Conflict(
                "reserve an address",
                answer=f"all of {first}-{last} are taken",
                advice="Enlarge network.pool in the configuration, or delete nodes",
            )
        chosen = found[:count]
        if chosen:
            self._next = int(IPv4Address(chosen[-1])) - self._first + 1
        return chosen

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.api.address_pool import LOOK, AddressPool
from provisioner.core.errors import Conflict
from provisioner.core.model import Port
from provisioner.protocols.store import Tx
from provisioner.store import open_store

T = TypeVar("T")
FIRST = IPv4Address("10.77.0.100")


def with_taken(offsets: Iterable[int], work: Callable[[Tx], T]) -> T:
    """What `work` gives in a transaction in which ports have these addresses."""

    def fill(tx: Tx) -> T:
        for offset in offsets:
            tx.insert(Port(id=f"mac-{offset}", node_id="n", address=str(FIRST + offset)))
        return work(tx)

    return asyncio.run(open_store("memory:", wall_clock=lambda: datetime.now(UTC)).transact(fill))


@given(
    size=st.integers(1, 3 * LOOK),
    taken=st.sets(st.integers(0, 3 * LOOK)),
    count=st.integers(0, 4),
    rounds=st.integers(1, 3),
)
def test_what_is_taken_is_free_in_the_pool_and_different_or_refused_when_there_is_too_little(
    size: int, taken: set[int], count: int, rounds: int
) -> None:
    free = {str(FIRST + offset) for offset in range(size)} - {str(FIRST + offset) for offset in taken}
    pool = AddressPool(FIRST, FIRST + (size - 1))

    def take(tx: Tx) -> list[list[str]]:
        return [pool.take(tx, count) for _ in range(rounds)]

    if count > len(free):
        with pytest.raises(Conflict):
            with_taken(taken, take)
        return
    for found in with_taken(taken, take):
        assert len(set(found)) == count
        assert set(found) <= free


def test_an_address_rests_until_all_others_had_their_turn() -> None:
    pool = AddressPool(FIRST, FIRST + 2)
    found = with_taken((), lambda tx: [pool.take(tx, 1)[0] for _ in range(4)])
    assert found == ["10.77.0.100", "10.77.0.101", "10.77.0.102", "10.77.0.100"]


def test_a_large_pool_is_not_searched_to_its_end() -> None:
    pool = AddressPool(IPv4Address("10.0.0.1"), IPv4Address("10.255.255.254"))

    class Counted:
        looks = 0

        def __init__(self, tx: Tx) -> None:
            self._tx = tx

        def find(self, *arguments: Any, **options: Any) -> list[Port]:
            Counted.looks += 1
            return self._tx.find(*arguments, **options)

    with_taken((), lambda tx: [pool.take(Counted(tx), 2) for _ in range(50)])  # type: ignore[arg-type]
    assert Counted.looks <= 50

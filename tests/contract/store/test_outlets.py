"""Who is given an outlet, on every store, and what it costs to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast

import pytest

from provisioner.api import node_orders
from provisioner.config.node_file import NodeEntry
from provisioner.core.errors import Conflict
from provisioner.core.model import Node, Outlet
from provisioner.protocols.store import Store, Tx
from provisioner.store import open_store
from tests.contract.store.conftest import Stores
from tests.unit.api.conftest import Api, node_entry


def entry(number: int, outlet: int, pdu: int = 0) -> NodeEntry:
    power = {
        "driver": "snmp",
        "family": "apc_rackpdu",
        "address": f"10.78.1.{pdu + 1}",
        "community": "sesame",
    }
    port = {"mac": f"52:54:00:77:00:{number:02x}", "address": f"10.77.0.{number + 10}"}
    given = node_entry(f"n{number}", number, power={**power, "outlets": [outlet]}, ports=[port])
    return NodeEntry.model_validate(given)


def test_of_two_who_enrol_on_one_outlet_at_once_one_has_it(stores: Stores, tmp_path: Path) -> None:
    api = Api(tmp_path)
    api.context.power_drivers |= {"snmp"}

    url = stores.url()

    async def story(store: Store) -> None:
        # As of two processes, where there can be two.
        other = store if stores.kind == "memory" else open_store(url, wall_clock=stores.clock)
        try:
            for outlet in range(1, 6):
                await race(store, other, outlet)
        finally:
            if other is not store:
                await other.close()

    async def race(store: Store, other: Store, outlet: int) -> None:
        def enrol(store: Store, number: int) -> Awaitable[Any]:
            return store.transact(lambda tx: node_orders.enrol(tx, api.context, entry(number, outlet)))

        outcomes = await asyncio.gather(
            enrol(store, 2 * outlet), enrol(other, 2 * outlet + 1), return_exceptions=True
        )
        (lost,) = (one for one in outcomes if isinstance(one, BaseException))
        (won,) = (one["name"] for one in outcomes if isinstance(one, dict))
        assert isinstance(lost, Conflict), lost
        name = f"outlet {outlet} of PDU 10.78.1.1:161"
        if lost.tried == "add outlet":  # it had looked before the other was stored: then it is asked again
            assert lost.answer == f"id '{name}' is taken"
            with pytest.raises(Conflict) as refused:
                await enrol(other, 99)
            lost = refused.value
        assert lost.answer == f"{name} feeds node {won} already"
        assert await store.transact(lambda tx: [one.name for one in tx.find(Node)]) == [won]
        assert await store.transact(lambda tx: tx.count(Outlet)) == 1
        await store.transact(lambda tx: node_orders.delete(tx, won))
        assert await store.transact(lambda tx: tx.count(Outlet)) == 0

    stores.play(story, url)


class Counted:
    """A transaction, and how many rows were read by it and how many calls it took."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.rows = self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            answer = getattr(self._tx, name)(*given, **named)
            self.calls += 1
            self.rows += len(answer) if isinstance(answer, list) else 0
            return answer

        return call


def test_enrolment_reads_as_much_among_many_nodes_on_outlets_as_among_few(
    stores: Stores, tmp_path: Path
) -> None:
    api = Api(tmp_path)
    api.context.power_drivers |= {"snmp"}

    async def story(store: Store) -> None:
        cost = []
        for number in range(1, 42):

            def enrol(tx: Tx, number: int = number) -> tuple[int, int]:
                counted = Counted(tx)
                node_orders.enrol(
                    cast(Tx, counted), api.context, entry(number, number % 24 + 1, number // 24)
                )
                return counted.rows, counted.calls

            cost.append(await store.transact(enrol))
        print("rows and calls among 0, 10, 20 and 40 nodes:", *cost[::10])
        assert len(set(cost)) == 1

    stores.play(story)

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from provisioner.core.fields import changed
from provisioner.core.model import Instance, Node
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.protocols.store import Tx
from provisioner.scheduler.scheduler import BATCH, Scheduler
from provisioner.services.system import RandomIds
from provisioner.store.memory import MemoryStore, _MemoryTx
from tests.unit import records
from tests.unit.compute.fake_world import QuickClock

FREE = ProvisionState.AVAILABLE
LOOP = asyncio.Runner()
"""One for all, since a scheduler lives in one."""


def world(*kept: Any) -> tuple[MemoryStore, Scheduler]:
    store = MemoryStore(lambda: records.NOW)
    LOOP.run(store.transact(lambda tx: tx.insert(records.image(), *kept)))
    return store, Scheduler(store, QuickClock(), RandomIds())


def nodes(number: int, **changes: Any) -> list[Node]:
    return [records.node(id=f"node-{n:03}", name=f"n{n:03}", **changes) for n in range(number)]


def requests(number: int, *, named: bool) -> list[Instance]:
    """The last to be made has the first id: it's by time that they come first."""
    return [
        records.instance(
            id=f"instance-{number - n:03}",
            name=f"i{n:03}",
            node_name=f"n{n:03}" if named else None,
            created_at=records.NOW + timedelta(seconds=n),
        )
        for n in range(number)
    ]


def run(work: Coroutine[Any, Any, bool]) -> bool:
    return LOOP.run(work)


def read(store: MemoryStore, look: Callable[[Tx], Any]) -> Any:
    return LOOP.run(store.transact(look))


def placed(store: MemoryStore) -> list[str]:
    found = read(store, lambda tx: tx.find(Instance, where={"state": InstanceState.BUILDING}))
    return sorted(instance.name for instance in found)


def test_a_crowd_is_placed_in_batches_and_the_oldest_come_first() -> None:
    for named in (True, False):
        store, scheduler = world(*nodes(2 * BATCH + 3), *requests(2 * BATCH + 3, named=named))
        for batch in (1, 2):
            assert run(scheduler.place_some())
            assert placed(store) == [f"i{n:03}" for n in range(batch * BATCH)]
        assert not run(scheduler.place_some())
        assert len(placed(store)) == 2 * BATCH + 3


def test_a_node_that_becomes_free_between_two_batches_goes_to_the_oldest_that_waits() -> None:
    waiting = records.instance(id="first", name="first", node_name="busy", created_at=records.NOW)
    busy = records.node(id="busy", name="busy", state=ProvisionState.CLEANING)
    store, scheduler = world(busy, waiting, *nodes(2 * BATCH), *requests(2 * BATCH, named=True))
    assert run(scheduler.place_some())
    read(store, lambda tx: tx.update(Node, "busy", {"state": FREE}))
    assert run(scheduler.place_some())
    assert "first" in placed(store)


def test_an_instance_deleted_between_two_batches_gets_no_node() -> None:
    store, scheduler = world(*nodes(BATCH + 2), *requests(BATCH + 2, named=True))
    assert run(scheduler.place_some())
    last = read(store, lambda tx: tx.find(Instance, where={"name": f"i{BATCH + 1:03}"}))[0]
    read(store, lambda tx: tx.update(Instance, last.id, {"state": InstanceState.DELETED}))
    assert not run(scheduler.place_some())
    assert placed(store) == [f"i{n:03}" for n in range(BATCH + 1)]


def test_what_becomes_of_a_batch_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes a fifth of what a placement costs."""
    update_all, written = _MemoryTx.update_all, list[int]()

    def counted(tx: _MemoryTx, kind: Any, changes: Any) -> int:
        if kind is Instance and changes:
            written.append(len(changes))
        return update_all(tx, kind, changes)

    monkeypatch.setattr(_MemoryTx, "update_all", counted)
    store, scheduler = world(*nodes(BATCH + 2), *requests(BATCH + 2, named=False))
    while run(scheduler.place_some()):
        pass
    assert written == [BATCH, 2]
    given = read(store, lambda tx: tx.pick(Node, "id", "instance_id", where={"state": "deploying"}))
    built = read(store, lambda tx: tx.pick(Instance, "node_id", "id", where={"state": "building"}))
    assert sorted(given) == sorted(built)
    assert len(given) == BATCH + 2


def test_a_request_for_a_node_that_is_busy_is_told_so_whatever_else_is_free() -> None:
    busy = records.node(id="busy", name="busy", state=ProvisionState.CLEANING)
    wants_it = records.instance(node_name="busy")
    store, scheduler = world(busy, wants_it, *nodes(3))
    assert not run(scheduler.place_some())
    assert read(store, lambda tx: tx.get(Instance, wants_it.id)).waiting_for == "node busy: it is cleaning"


def test_a_crowd_that_wants_one_busy_node_has_it_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (busy,) = nodes(1, state=ProvisionState.ACTIVE, instance_id="somebody-s")
    crowd = [changed(one, node_name=busy.name) for one in requests(50, named=True)]
    store, scheduler = world(busy, *crowd)
    find, read_by_name = _MemoryTx.find, list[str]()

    def counted(tx: _MemoryTx, kind: Any, **how: Any) -> Any:
        if kind is Node and "name" in (how.get("where") or {}):
            read_by_name.append(how["where"]["name"])
        return find(tx, kind, **how)

    monkeypatch.setattr(_MemoryTx, "find", counted)
    assert not run(scheduler.place_some())
    assert read_by_name == [busy.name]
    told = {one.waiting_for for one in read(store, lambda tx: tx.find(Instance))}
    assert len(told) == 1 and busy.name in told.pop()

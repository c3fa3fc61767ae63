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
from provisioner.scheduler.scheduler import BATCH, LOOK_EVERY_S, Scheduler
from provisioner.services.system import RandomIds
from provisioner.store.memory import MemoryStore, _MemoryTx
from tests.unit import records
from tests.unit.fakes import JumpingClock

FREE = ProvisionState.AVAILABLE
LOOP = asyncio.Runner()
"""One for all, since a scheduler lives in one."""


def world(*kept: Any) -> tuple[MemoryStore, Scheduler]:
    store = MemoryStore(lambda: records.NOW)
    LOOP.run(store.transact(lambda tx: tx.insert(records.image(), *kept)))
    return store, Scheduler(store, JumpingClock(), RandomIds())


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


def test_an_instance_that_is_to_be_deleted_since_the_last_batch_gets_no_node() -> None:
    store, scheduler = world(*nodes(BATCH + 2), *requests(BATCH + 2, named=False))
    assert run(scheduler.place_some())
    last = read(store, lambda tx: tx.find(Instance, where={"name": f"i{BATCH + 1:03}"}))[0]
    read(store, lambda tx: tx.update(Instance, last.id, {"delete_requested": True}))
    assert not run(scheduler.place_some())
    assert placed(store) == [f"i{n:03}" for n in range(BATCH + 1)]


def test_a_request_that_came_back_between_two_batches_is_placed_as_it_is_now() -> None:
    """Another scheduler has placed it meanwhile, and it failed."""
    store, scheduler = world(*nodes(BATCH + 2), *requests(BATCH + 1, named=False))
    assert run(scheduler.place_some())
    last = read(store, lambda tx: tx.find(Instance, where={"name": f"i{BATCH:03}"}))[0]
    read(store, lambda tx: tx.update(Instance, last.id, {"failed_on": (f"node-{BATCH:03}",)}))
    assert not run(scheduler.place_some())
    assert read(store, lambda tx: tx.get(Instance, last.id)).node_id == f"node-{BATCH + 1:03}"


def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that all who wait were asked for."""
    pick, found = _MemoryTx.pick, list[None]()

    def counted(tx: _MemoryTx, kind: Any, *fields: str, **how: Any) -> Any:
        if kind is Instance and fields == ("id",):
            found.append(None)
        return pick(tx, kind, *fields, **how)

    monkeypatch.setattr(_MemoryTx, "pick", counted)
    return found


def test_within_a_crowd_nobody_looks_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = looks(monkeypatch)
    _, scheduler = world(*nodes(4 * BATCH), *requests(4 * BATCH, named=False))
    for _ in range(3):
        assert run(scheduler.place_some())
    assert len(looked) == 1
    assert not run(scheduler.place_some())  # all are served: who else waits?
    assert not run(scheduler.place_some())
    assert len(looked) == 2


def test_a_crowd_of_whom_some_can_not_be_served_is_looked_at_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise these would be read anew each time, one and all."""
    looked = looks(monkeypatch)
    gone = records.instance(id="first", name="first", node_name="gone", created_at=records.NOW)
    _, scheduler = world(gone, *nodes(4 * BATCH), *requests(4 * BATCH, named=False))
    for _ in range(3):
        assert run(scheduler.place_some())
    assert len(looked) == 3


def test_a_crowd_that_another_scheduler_serves_as_well_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = looks(monkeypatch)
    store, scheduler = world(*nodes(6 * BATCH), *requests(6 * BATCH, named=False))
    other = Scheduler(store, JumpingClock(), RandomIds())
    for one in (scheduler, other):
        assert run(one.place_some())
    assert len(looked) == 2
    assert run(scheduler.place_some())  # comes upon those that the other one has served
    assert run(scheduler.place_some())
    assert len(looked) == 3
    assert len(placed(store)) == 4 * BATCH


@pytest.mark.parametrize("announced", [True, False])
def test_who_comes_while_a_crowd_is_served_has_its_turn_next(announced: bool) -> None:
    """When it isn't announced, a quarter of a second later."""
    store, clock = MemoryStore(lambda: records.NOW), JumpingClock()
    scheduler = Scheduler(store, clock, RandomIds())
    crowd = requests(4 * BATCH, named=False)
    read(store, lambda tx: tx.insert(records.image(), *nodes(5 * BATCH), *crowd))
    assert run(scheduler.place_some())
    comes = records.instance(id="single", name="single", tenant="another", created_at=crowd[-1].created_at)
    read(store, lambda tx: (tx.insert(comes), tx.notify(*["instances"] * announced)))
    if not announced:
        assert run(scheduler.place_some())
        assert "single" not in placed(store)
        clock.now_s += LOOK_EVERY_S
    assert run(scheduler.place_some())
    assert "single" in placed(store)


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

"""What the API forgets of timelines, on every store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from provisioner.api.timeline_pruning import BATCH, NODES_AT_ONCE, TimelinePolicy, TimelinePruning
from provisioner.core.model import Instance, TimelineEvent, Work
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Store, Tx
from tests.contract.store.conftest import Stores
from tests.unit import records
from tests.unit.fakes import JumpingClock

DAY_S = 86_400.0


def events(node: str, count: int, at: datetime, instance: str | None = None) -> list[TimelineEvent]:
    return [
        TimelineEvent(node_id=node, instance_id=instance, at=at, source="dhcp", name=f"{node}.{number}")
        for number in range(count)
    ]


def working(now: datetime) -> Work:
    return Work(id="w", plan="clean", step="power_off", entered_at=now)


def pruned(
    stores: Stores, fill: Callable[[Tx, datetime], None], *, keep_s: float = 1e9, keep_events: int = 10**6
) -> list[str]:
    """The names of the events that are left of what `fill` stored (old is older than `keep_s`)."""
    left: list[str] = []

    async def story(store: Store) -> None:
        policy = TimelinePolicy(keep_s=keep_s, keep_events=keep_events)
        await store.transact(lambda tx: fill(tx, tx.now()))
        await TimelinePruning(store, JumpingClock(), policy).prune()
        left.extend(event.name for event in await store.transact(lambda tx: tx.find(TimelineEvent)))

    stores.play(story)
    return left


def test_old_events_go_however_many_and_new_ones_stay(stores: Stores) -> None:
    def fill(tx: Tx, now: datetime) -> None:
        old = now - timedelta(days=2)
        tx.insert(records.node(id="a", name="a"))
        tx.insert(*events("a", 2 * BATCH + 3, old), *events("gone", 2, old), *events("new", 2, now))

    assert pruned(stores, fill, keep_s=DAY_S) == ["new.0", "new.1"]


def test_what_belongs_to_the_instance_on_the_node_or_to_work_in_progress_stays(stores: Stores) -> None:
    def fill(tx: Tx, now: datetime) -> None:
        old = now - timedelta(days=2)
        tx.insert(
            records.node(id="a", name="a", instance_id="i2"),
            records.node(id="b", name="b", work=working(now)),
        )
        tx.insert(*events("a", BATCH, old, "i1"), *events("a", BATCH + 1, old, "i2"), *events("b", 3, old))

    left = pruned(stores, fill, keep_s=DAY_S, keep_events=1)
    assert left == [*(f"a.{number}" for number in range(BATCH + 1)), "b.0", "b.1", "b.2"]


def test_of_each_node_the_newest_events_are_kept(stores: Stores) -> None:
    nodes = [f"n{number:03}" for number in range(NODES_AT_ONCE + 2)]

    def fill(tx: Tx, now: datetime) -> None:
        tx.insert(*(records.node(id=id, name=id) for id in nodes))
        for id in (nodes[0], nodes[-1]):
            tx.insert(*events(id, BATCH + 8, now))
        tx.insert(*events(nodes[1], 5, now))

    last = [BATCH + 3 + number for number in range(5)]
    assert pruned(stores, fill, keep_events=5) == [
        *(f"{nodes[0]}.{number}" for number in last),
        *(f"{nodes[-1]}.{number}" for number in last),
        *(f"{nodes[1]}.{number}" for number in range(5)),
    ]


def test_events_of_the_instance_count_but_others_go_for_them(stores: Stores) -> None:
    def fill(tx: Tx, now: datetime) -> None:
        tx.insert(records.node(id="a", name="a", instance_id="i"))
        tx.insert(*events("a", 4, now, "i"), *events("a", 4, now))

    assert pruned(stores, fill, keep_events=6) == ["a.0", "a.1", "a.2", "a.3", "a.2", "a.3"]


def test_the_number_of_an_event_is_never_given_again(stores: Stores) -> None:
    """Who follows a timeline asks for what comes after the last number it saw."""

    async def story(store: Store) -> None:
        def fill(tx: Tx) -> None:
            tx.insert(*events("gone", 3, tx.now() - timedelta(days=2)))

        await store.transact(fill)
        seen = (await store.transact(lambda tx: tx.find(TimelineEvent)))[-1].id
        await TimelinePruning(store, JumpingClock(), TimelinePolicy(keep_s=DAY_S)).prune()
        assert await store.transact(lambda tx: tx.count(TimelineEvent)) == 0
        await store.transact(fill)
        assert len(await store.transact(lambda tx: tx.find(TimelineEvent, after=seen))) == 3

    stores.play(story)


def test_instances_that_were_deleted_long_ago_are_forgotten(stores: Stores) -> None:
    async def story(store: Store) -> None:
        def fill(tx: Tx) -> None:
            old = tx.now() - timedelta(days=2)
            gone, kept, long_ago = InstanceState.DELETED, InstanceState.ERROR, tx.now() - timedelta(days=100)
            for number in range(BATCH + 1):
                id = f"gone-{number:03}"
                tx.insert(records.instance(id=id, name=id, state=gone, updated_at=old))
            carried = records.instance(id="carried", name="c", state=gone, node_id="n", updated_at=old)
            tx.insert(
                carried,
                replace(carried, id="older", updated_at=long_ago),
                records.instance(id="new", name="new", state=gone, updated_at=tx.now()),
                records.instance(id="failed", name="failed", state=kept, updated_at=old),
            )

        await store.transact(fill)
        # A machine has a timeline that tells of its instance; what never had one is known for the least time.
        await TimelinePruning(store, JumpingClock(), TimelinePolicy(keep_s=90 * DAY_S)).prune()
        instances = await store.transact(lambda tx: tx.find(Instance))
        assert sorted(one.id for one in instances) == ["carried", "failed", "new"]
        await TimelinePruning(store, JumpingClock(), TimelinePolicy(keep_s=DAY_S)).prune()
        instances = await store.transact(lambda tx: tx.find(Instance))
        assert sorted(one.id for one in instances) == ["failed", "new"]

    stores.play(story)

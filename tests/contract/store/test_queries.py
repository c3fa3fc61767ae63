"""What `Tx` promises of reading: which records are found, in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.core.model import (
    Flavor,
    Node,
    TimelineEvent,
)
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Since, Store, Tx
from tests.contract.store.conftest import Stores, Teller
from tests.contract.store.records import AT, EXAMPLES, emptied, event, flavor, node

LATER = AT + timedelta(microseconds=1)
VALUES = st.sampled_from(["a", "b", "c"])


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    def some(values: list[Any]) -> Any:
        one = st.sampled_from(values)
        many = st.lists(one, max_size=5)
        return draw(one | many | many.map(tuple) | many.map(frozenset))

    where: dict[str, Any] = {}
    if draw(st.booleans()):
        where["node_id"] = some(["a", "b", "c"])
    if draw(st.booleans()):
        where["instance_id"] = some(["a", "b", None])
    if draw(st.booleans()):
        where["fence"] = some([0, 1, 2])
    if draw(st.booleans()):
        where["at"] = draw(st.sampled_from([AT, LATER, Since(AT), Since(LATER)]))
    if draw(st.booleans()):
        where["id"] = some(list(range(12)))
    return {
        "where": where or draw(st.sampled_from([None, {}])),
        "after": draw(st.none() | st.integers(0, 12)),
        "limit": draw(st.none() | st.integers(0, 5)),
        "newest_first": draw(st.booleans()),
    }


def _answer(events: list[TimelineEvent], question: dict[str, Any]) -> list[TimelineEvent]:
    """What `find` must give, in the plainest words."""

    def meets(record: TimelineEvent) -> bool:
        for field, wanted in (question["where"] or {}).items():
            if isinstance(wanted, Since):
                if getattr(record, field) < wanted.at:
                    return False
                continue
            several = wanted if isinstance(wanted, list | tuple | frozenset) else [wanted]
            if getattr(record, field) not in several:
                return False
        return True

    found = [record for record in sorted(events, key=lambda e: e.id) if meets(record)]
    if question["newest_first"]:
        found.reverse()
    after = question["after"]
    if after is not None:
        found = [e for e in found if (e.id < after if question["newest_first"] else e.id > after)]
    return found if question["limit"] is None else found[: question["limit"]]


def test_find_gives_what_was_asked_for_in_order(stores: Stores) -> None:
    many = st.lists(
        st.builds(
            event,
            node_id=VALUES,
            instance_id=st.sampled_from(["a", "b", None]),
            fence=st.integers(0, 2),
            at=st.sampled_from([AT, LATER]),
        ),
        max_size=10,
    )

    @EXAMPLES
    @given(many, st.lists(questions(), max_size=8))
    def check(play: Teller, events: list[TimelineEvent], asked: list[dict[str, Any]]) -> None:
        numbered = [replace(event, id=number) for number, event in enumerate(events, 1)]

        async def story(store: Store) -> None:
            await store.transact(lambda tx: emptied(tx, TimelineEvent))
            await store.transact(lambda tx: tx.insert(*numbered))
            kept = await store.transact(lambda tx: tx.find(TimelineEvent))
            for question in asked:
                found = await store.transact(lambda tx, q=question: tx.find(TimelineEvent, **q))
                assert found == _answer(kept, question)
                counted = await store.transact(
                    lambda tx, q=question: tx.count(TimelineEvent, where=q["where"])
                )
                assert counted == len(_answer(kept, {**question, "after": None, "limit": None}))

        play(story)

    with stores.opened() as play:
        check(play)


def test_pick_gives_each_combination_of_scalar_fields_once(stores: Stores) -> None:
    async def story(store: Store) -> None:
        owners = {"a": "h1", "b": "h1", "c": None, "d": "h2"}
        await store.transact(lambda tx: tx.insert(*(node(name, owner=owners[name]) for name in owners)))
        picked = await store.transact(lambda tx: tx.pick(Node, "owner", "state"))
        assert set(picked) == {(owner, ProvisionState.ENROLLING) for owner in owners.values()}
        assert len(picked) == 3
        assert all(type(state) is ProvisionState for _, state in picked)
        where = {"owner": ("h1", None), "maintenance": False}
        ids = await store.transact(lambda tx: tx.pick(Node, "id", where=where))
        assert sorted(ids) == [("id-a",), ("id-b",), ("id-c",)]
        assert await store.transact(lambda tx: tx.pick(Node, "created_at", where={"owner": "h2"})) == [(AT,)]
        assert await store.transact(lambda tx: tx.pick(Node, "id", where={"owner": ()})) == []
        with pytest.raises(TypeError, match="scalar"):
            await store.transact(lambda tx: tx.pick(Node, "inventory"))
        with pytest.raises(TypeError, match="no field"):
            await store.transact(lambda tx: tx.pick(Node, "colour"))

    stores.play(story)


def test_pick_with_ids_gives_pages_in_the_order_of_find_and_any_field(stores: Stores) -> None:
    async def story(store: Store) -> None:
        made = [node(name, inventory={"of": name}, maintenance=name == "c") for name in "dacbe"]
        await store.transact(lambda tx: tx.insert(*made))
        where = {"maintenance": False}

        def pages(tx: Tx) -> list[list[tuple[Any, ...]]]:
            first = tx.pick(Node, "id", "inventory", "state", where=where, limit=3)
            return [first, tx.pick(Node, "inventory", "id", where=where, after=first[-1][0], limit=3)]

        first, second = await store.transact(pages)
        enrolling = ProvisionState.ENROLLING
        assert first == [(f"id-{name}", {"of": name}, enrolling) for name in "abd"]
        assert second == [({"of": "e"}, "id-e")]
        assert await store.transact(lambda tx: tx.pick(Node, "id", after="id-d")) == [("id-e",)]
        with pytest.raises(TypeError, match="no pages"):
            await store.transact(lambda tx: tx.pick(Node, "owner", limit=3))

    stores.play(story)


def test_text_is_ordered_by_code_point(stores: Stores) -> None:
    ids = ["B", "a", "Z", "z", "é", "10", "9", "\U0001f600", "￿"]

    async def story(store: Store) -> list[str]:
        await store.transact(lambda tx: tx.insert(*(replace(flavor(id), id=id) for id in ids)))
        return [found.id for found in await store.transact(lambda tx: tx.find(Flavor))]

    assert stores.play(story) == sorted(ids)


def test_one_of_very_many_values_is_bounded(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(flavor("a")))
        many = ["id-a", *(f"id-{n}" for n in range(16_000))]
        assert await store.transact(lambda tx: tx.find(Flavor, where={"id": many})) == [flavor("a")]
        with pytest.raises(ValueError, match="16384"):
            await store.transact(lambda tx: tx.find(Flavor, where={"id": many * 2}))

    stores.play(story)

"""What `Tx` promises about records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given

from provisioner.core.errors import Conflict
from provisioner.core.model import (
    ApiToken,
    Flavor,
    Instance,
    Node,
    Port,
    Record,
    TimelineEvent,
    Work,
)
from provisioner.core.roles import Role
from provisioner.core.states import PowerState, ProvisionState
from provisioner.protocols.store import Since, Store, Tx
from tests.contract.store.conftest import Stores, Teller
from tests.contract.store.records import AT, EXAMPLES, KINDS, emptied, event, flavor, node, records


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_stored_comes_back_equal(stores: Stores, kind: type[Record]) -> None:
    @EXAMPLES
    @given(records(kind))
    def check(play: Teller, record: Any) -> None:
        # A database gives numbers after the highest that it was brought: there have to be some left, also
        # for the locks of PostgreSQL that tell them (`postgres_numbers`).
        assume(isinstance(record.id, str) or record.id < 2**59)

        async def story(store: Store) -> None:
            await store.transact(lambda tx: emptied(tx, kind))
            await store.transact(lambda tx: tx.insert(record))
            if record.id == 0:
                (found,) = await store.transact(lambda tx: tx.find(kind))
                assert replace(found, id=0) == record
            else:
                found = await store.transact(lambda tx: tx.get(kind, record.id))
                assert found == record
            assert await store.transact(lambda tx: tx.delete(kind, found.id))

        play(story)

    with stores.opened() as play:
        check(play)


def test_what_is_stored_is_not_changed_by_changing_what_was_given(stores: Stores) -> None:
    facts: dict[str, Any] = {"disks": ["sda"]}
    work = Work(id="w", plan="enrol", step="verify_power", entered_at=AT, facts=facts)

    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a", inventory=facts)))
        await store.transact(lambda tx: tx.update(Node, "id-a", {"work": work}))
        facts["disks"].append("sdb")
        found = await store.transact(lambda tx: tx.get(Node, "id-a"))
        assert found is not None and found.work is not None
        assert found.inventory == found.work.facts == {"disks": ["sda"]}

    stores.play(story)


def test_what_does_not_exist_is_none(stores: Stores) -> None:
    async def story(store: Store) -> Node | None:
        return await store.transact(lambda tx: tx.get(Node, "nobody"))

    assert stores.play(story) is None


def test_an_update_writes_the_named_fields_only_and_the_time(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a")))
        changes = {"power_state": PowerState.ON, "root_device_hint": {"serial": "x"}}
        at = await store.transact(lambda tx: tx.update(Node, "id-a", changes) and tx.now())
        found = await store.transact(lambda tx: tx.get(Node, "id-a"))
        assert found == replace(
            node("a"), power_state=PowerState.ON, root_device_hint={"serial": "x"}, updated_at=at
        )

    stores.play(story)


def test_an_update_happens_only_when_all_that_is_expected_holds(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a", owner="h1", fence=3)))

        async def tried(expect: dict[str, Any], id: str = "id-a") -> bool:
            return await store.transact(lambda tx: tx.update(Node, id, {"cpus": 9}, expect=expect))

        assert not await tried({"owner": "h1", "fence": 2})
        assert not await tried({"owner": "h2", "fence": 3})
        assert not await tried({"owner": None})
        assert not await tried({"state": ()})
        assert not await tried({}, id="nobody")
        assert await store.transact(lambda tx: tx.get(Node, "id-a")) == node("a", owner="h1", fence=3)
        assert await tried({"owner": "h1", "fence": 3, "instance_id": None})
        assert await tried({"state": (ProvisionState.ENROLLING, ProvisionState.ACTIVE)})

    stores.play(story)


def test_an_update_of_nothing_only_says_whether_the_expected_holds(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a", fence=3)))
        assert await store.transact(lambda tx: tx.update(Node, "id-a", {}, expect={"fence": 3}))
        assert not await store.transact(lambda tx: tx.update(Node, "id-a", {}, expect={"fence": 4}))
        assert await store.transact(lambda tx: tx.get(Node, "id-a")) == node("a", fence=3)

    stores.play(story)


def test_a_record_is_deleted_only_when_the_expected_holds(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a", fence=3)))
        assert not await store.transact(lambda tx: tx.delete(Node, "id-a", expect={"fence": 4}))
        assert await store.transact(lambda tx: tx.delete(Node, "id-a", expect={"fence": 3}))
        assert not await store.transact(lambda tx: tx.delete(Node, "id-a"))
        assert await store.transact(lambda tx: tx.find(Node)) == []
        await store.transact(lambda tx: tx.insert(node("a")))  # id and name are free again

    stores.play(story)


@pytest.mark.parametrize(
    ("kept", "added", "taken"),
    [
        (flavor("a"), replace(flavor("b"), id="id-a"), "add flavor: id 'id-a' is taken"),
        (flavor("a"), replace(flavor("a"), id="other"), "add flavor: name 'a' is taken"),
        (node("a"), node("a", id="other"), "add node: name 'a' is taken"),
        (
            Port(id="aa:bb", node_id="n", address="10.0.0.1"),
            Port(id="cc:dd", node_id="m", address="10.0.0.1"),
            "add port: address '10.0.0.1' is taken",
        ),
        (
            ApiToken(id="1", name="ci", user_id="u", role=Role.READER, created_at=AT),
            ApiToken(id="2", name="ci", user_id="u", role=Role.READER, created_at=AT),
            "add api token: name 'ci' is taken",
        ),
        (event(id=7), event(id=7), "add timeline event: id is taken"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_conflict_names_kind_and_field_and_nothing_remains(
    stores: Stores, kept: Record, added: Record, taken: str
) -> None:
    def add(tx: Tx) -> None:
        tx.insert(flavor("earlier"))
        tx.insert(flavor("before"), added, flavor("after"))

    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(kept))
        with pytest.raises(Conflict) as raised:
            await store.transact(add)
        assert raised.value.message.startswith(taken.removesuffix(" is taken"))
        assert raised.value.message.endswith("is taken")
        others = {"name": ("earlier", "before", "after")}
        assert await store.transact(lambda tx: tx.count(Flavor, where=others)) == 0
        assert await store.transact(lambda tx: tx.find(type(kept))) == [kept]

    stores.play(story)


def test_many_records_are_changed_at_once_each_to_its_own_values(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a"), node("b", owner="h1"), node("c")))
        before = {one.id: one for one in await store.transact(lambda tx: tx.find(Node))}
        changes = {
            "id-a": {"owner": "h1", "fence": 7},
            "id-b": {"owner": None, "fence": 8},
            "id-z": {"owner": "h", "fence": 9},
        }
        assert await store.transact(lambda tx: tx.update_all(Node, changes)) == 2
        found = await store.transact(lambda tx: tx.find(Node))
        assert [(one.owner, one.fence) for one in found] == [
            ("h1", 7),
            (None, 8),
            (None, before["id-c"].fence),
        ]
        assert found[2] == before["id-c"]
        assert found[0].updated_at > before["id-a"].updated_at
        assert await store.transact(lambda tx: tx.update_all(Node, {})) == 0
        with pytest.raises(TypeError, match="no field"):
            await store.transact(lambda tx: tx.update_all(Node, {"id-a": {"colour": "red"}}))

    stores.play(story)


def test_a_change_to_a_name_that_is_taken_is_a_conflict(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a"), node("b")))
        with pytest.raises(Conflict, match="change node: name 'b' is taken"):
            await store.transact(lambda tx: tx.update(Node, "id-a", {"name": "b"}))
        assert await store.transact(lambda tx: tx.update(Node, "id-a", {"name": "a"}))

    stores.play(story)


def test_a_conflict_that_is_swallowed_still_ends_the_transaction(stores: Stores) -> None:
    def swallow(tx: Tx) -> str:
        tx.insert(flavor("b"))
        for _ in range(2):
            with pytest.raises(Conflict):
                tx.insert(flavor("a"))
        with pytest.raises(Conflict):
            tx.find(Flavor)
        return "went on"

    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(flavor("a")))
        with pytest.raises(Conflict):
            await store.transact(swallow)
        assert await store.transact(lambda tx: tx.find(Flavor)) == [flavor("a")]

    stores.play(story)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda tx: tx.find(Node, where={"colour": "red"}),
        lambda tx: tx.find(Node, where={"publication": None}),
        lambda tx: tx.find(Node, where={"fence": "1"}),
        lambda tx: tx.find(Node, where={"name": Since(AT)}),
        lambda tx: tx.find(Instance, where={"updated_at": Since("then")}),
        lambda tx: tx.find(Node, after=3),
        lambda tx: tx.count(Node, where={"name": [1]}),
        lambda tx: tx.update(Node, "id-a", {"colour": "red"}),
        lambda tx: tx.update(Node, "id-a", {"fence": "1"}),
        lambda tx: tx.update(Node, "id-a", {"name": None}),
        lambda tx: tx.update(Node, "id-a", {"work": {"id": "w"}}),
        lambda tx: tx.update(Node, "id-a", {"created_at": AT.replace(tzinfo=None)}),
        lambda tx: tx.update(Node, "id-a", {"id": "id-b"}),
        lambda tx: tx.delete(Node, "id-a", expect={"inventory": None}),
    ],
)
def test_a_field_or_a_value_that_cannot_be_is_a_type_error(stores: Stores, misuse: Any) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a")))
        with pytest.raises(TypeError):
            await store.transact(misuse)
        assert await store.transact(lambda tx: tx.find(Node)) == [node("a")]

    stores.play(story)


def test_a_state_that_does_not_exist_is_refused(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(node("a")))
        with pytest.raises(ValueError, match="resting"):
            await store.transact(lambda tx: tx.update(Node, "id-a", {"state": "resting"}))

    stores.play(story)


def test_events_are_numbered_in_the_order_of_their_transactions(stores: Stores) -> None:
    async def story(store: Store) -> None:
        for number in range(3):
            texts = [f"{number}-{i}" for i in range(3)]
            await store.transact(lambda tx, texts=texts: tx.insert(*(event(text=text) for text in texts)))
        found = await store.transact(lambda tx: tx.find(TimelineEvent))
        assert [e.text for e in found] == [f"{n}-{i}" for n in range(3) for i in range(3)]
        assert [e.id for e in found] == sorted({e.id for e in found}) and found[0].id > 0
        assert await store.settled(TimelineEvent) >= found[-1].id, "nobody else is writing"

    stores.play(story)


def test_the_number_of_a_deleted_event_is_never_given_again(stores: Stores) -> None:
    async def story(store: Store) -> None:
        await store.transact(lambda tx: tx.insert(event(), event(), event(id=40)))
        await store.transact(lambda tx: tx.delete(TimelineEvent, 40))  # type: ignore[arg-type]
        await store.transact(lambda tx: tx.insert(event(text="new")))
        found = await store.transact(lambda tx: tx.find(TimelineEvent, after=40))
        assert [e.text for e in found] == ["new"]

    stores.play(story)

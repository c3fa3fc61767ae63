from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from provisioner.compute.ledger import NodeLedger
from provisioner.compute.membership import Membership
from provisioner.compute.ownership import Hosts, adopt_at_start, give, owners_of, share_out, to_give
from provisioner.core.errors import LeaseLost
from provisioner.core.model import Host, Node, Publication, PublicationKind, TimelineEvent
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock
from tests.unit.records import NOW, node


def host(name: str, **fields: Any) -> Host:
    return Host(id=name, epoch=1, beat=7, ttl_ms=5000, renewed_at=NOW, started_at=NOW, holder=name, **fields)


def seen_by_me(tx: Tx) -> Hosts:
    return Hosts.seen(tx, Membership("me"), "me", lambda: 0.0)


def share(tx: Tx) -> int:
    return share_out(tx, seen_by_me(tx))


def nodes_of(owner: str | None, number: int, **fields: Any) -> list[Node]:
    return [
        node(id=f"id-{owner}-{n}", name=f"{owner}-{n}", owner=owner, fence=5, **fields) for n in range(number)
    ]


def after(records: list[Any], *works: Callable[[Tx], object]) -> list[Node]:
    """All nodes, once each of the transactions has been done."""

    async def story() -> list[Node]:
        store = MemoryStore(JumpingClock().wall)
        await store.transact(lambda tx: tx.insert(*records))
        for work in works:
            await store.transact(work)
        return await store.transact(lambda tx: tx.find(Node))

    return asyncio.run(story())


def shares(nodes: list[Node]) -> dict[str | None, int]:
    return dict(Counter(node.owner for node in nodes))


def test_a_start_takes_what_this_name_had_anew_and_nothing_of_others() -> None:
    records = [host("me"), *nodes_of("me", 1), *nodes_of("other", 1), *nodes_of(None, 1)]
    nodes = after(records, lambda tx: adopt_at_start(tx, "me"))
    assert {found.name: (found.owner, found.fence) for found in nodes} == {
        "me-0": ("me", 6),
        "other-0": ("other", 5),
        "None-0": (None, 5),
    }


def test_new_nodes_and_those_of_the_dead_are_shared_out_evenly_all_at_once() -> None:
    records = [host("me"), host("other"), host("dead", released=True), *nodes_of("other", 3)]
    records += [*nodes_of("dead", 8), *nodes_of(None, 1)]
    nodes = after(records, share)
    assert shares(nodes) == {"me": 6, "other": 6}
    assert {found.fence for found in nodes if "other" not in found.name} == {6}


def test_nodes_of_a_host_that_was_forgotten_are_shared_out_when_all_are_looked_at() -> None:
    records = [host("me"), host("other"), *nodes_of("forgotten", 2), *nodes_of("other", 2)]
    assert shares(after(records, share)) == {"forgotten": 2, "other": 2}
    nodes = after(records, lambda tx: share_out(tx, seen_by_me(tx), owners=owners_of(tx)))
    assert shares(nodes) == {"me": 2, "other": 2}
    assert {found.fence for found in nodes if found.owner == "me"} == {6}


def test_one_that_was_taken_for_dead_cannot_prolong_its_lease() -> None:
    async def story() -> tuple[int, int]:
        store = MemoryStore(JumpingClock().wall)
        await store.transact(
            lambda tx: tx.insert(host("me"), host("dead", released=True), host("bare", released=True))
        )
        await store.transact(lambda tx: tx.insert(*nodes_of("dead", 1)))
        await store.transact(share)
        rows = await store.transact(lambda tx: {row.id: row.epoch for row in tx.find(Host)})
        return rows["dead"], rows["bare"]

    assert asyncio.run(story()) == (2, 1)


@pytest.mark.parametrize("kind", ["draining", "leaving"])
def test_nothing_is_given_to_a_host_that_is_to_have_none_while_there_is_another(kind: str) -> None:
    records = [host("me", **{kind: True}), host("other"), *nodes_of("other", 5), *nodes_of(None, 2)]
    assert shares(after(records, share)) == {"other": 7}
    alone = [host("me", **{kind: True}), *nodes_of(None, 2)]
    assert shares(after(alone, share)) == {"me": 2}


def hand_over(tx: Tx) -> None:
    hosts = seen_by_me(tx)
    give(tx, hosts, to_give(tx, hosts))


def test_a_host_that_joins_is_given_idle_nodes_a_few_at_a_time_until_shares_are_even() -> None:
    records = [host("me"), host("new"), *nodes_of("me", 50)]
    assert shares(after(records, hand_over)) == {"me": 34, "new": 16}
    assert shares(after(records, *[hand_over] * 5)) == {"me": 25, "new": 25}
    busy = [host("me"), host("new"), *nodes_of("me", 9, state=ProvisionState.ACTIVE)]
    assert shares(after(busy, hand_over)) == {"me": 9}


def test_a_host_that_is_drained_gives_all_that_nobody_works_on_and_no_root_that_it_serves() -> None:
    served = Publication(kind=PublicationKind.INSTANCE, root="n-1")
    records = [
        host("me", draining=True),
        host("other"),
        *nodes_of("me", 30),
        node(id="active", name="active", owner="me", state=ProvisionState.ACTIVE),
        node(id="deploying", name="deploying", owner="me", state=ProvisionState.DEPLOYING),
        node(id="nfs", name="nfs", owner="me", state=ProvisionState.ACTIVE, publication=served),
    ]
    nodes = after(records, hand_over)
    assert sorted(found.name for found in nodes if found.owner == "me") == ["deploying", "nfs"]


def test_what_has_begun_something_since_it_was_looked_at_stays() -> None:
    def begin_between(tx: Tx) -> None:
        hosts = seen_by_me(tx)
        found = to_give(tx, hosts)
        tx.update(Node, found[0].id, {"state": ProvisionState.DEPLOYING})
        assert give(tx, hosts, found) == len(found) - 1

    records = [host("me", draining=True), host("other"), *nodes_of("me", 3)]
    nodes = after(records, begin_between)
    assert [found.owner for found in nodes if found.state is ProvisionState.DEPLOYING] == ["me"]


@pytest.mark.parametrize("newer", [6, 5])
def test_an_older_fence_can_write_nothing(newer: int) -> None:
    """Nor the same one, which a database that has forgotten its last moments gave to another host."""

    async def story() -> None:
        store = MemoryStore(JumpingClock().wall)
        stale = node(fence=5)
        await store.transact(lambda tx: tx.insert(stale))
        ledger = NodeLedger(store, stale)
        await ledger.write({"power_state": "on"}, ledger.event("power.on"))
        await store.transact(lambda tx: tx.update(Node, stale.id, {"owner": "other", "fence": newer}))
        with pytest.raises(LeaseLost, match="fence 5 is not the newest"):
            await ledger.write({"power_state": "off"}, ledger.event("power.off"))
        events = await store.transact(lambda tx: tx.find(TimelineEvent))
        assert [event.name for event in events] == ["power.on"]

    asyncio.run(story())

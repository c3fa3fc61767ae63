"""What it costs to look at all nodes, and that nobody else waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.api import capacity
from provisioner.api.node_survey import AT_ONCE
from provisioner.core.model import Host, Node
from provisioner.services.system import SystemClock
from tests.unit.api.conftest import Api
from tests.unit.api.counting_store import CountingStore
from tests.unit.records import node

FEW = 8
"""Rows of a transaction beside its nodes: the token's, the flavor's, the image's."""

SSD = {"disks": [{"rotational": False}], "nics": []}


def enrol(api: Api, number: int, **changes: Any) -> None:
    nodes = [node(id=f"id{n:04}", name=f"n{n:04}", memory_mib=64, **changes) for n in range(number)]
    api.transact(lambda tx: tx.insert(*nodes))


def counting(api: Api) -> CountingStore:
    api.context.store = store = CountingStore(api.store)
    return store


def dry_run(api: Api, flavor: str, **more: str) -> Any:
    return api.post("/v1/placement", {"flavor": flavor, "image": "root", **more}, 200)


@pytest.mark.parametrize("number", [100, 1000])
def test_a_dry_run_reads_each_node_once_and_in_short_transactions(api: Api, number: int) -> None:
    api.register_images()
    enrol(api, number)
    store = counting(api)
    assert dry_run(api, "small")["node"] == "n0000"
    assert max(store.rows) <= AT_ONCE + FEW
    assert number <= sum(store.rows) <= number + 2 * FEW
    assert sum(store.whole) <= FEW
    assert len(store.rows) <= number // AT_ONCE + 4


@pytest.mark.parametrize("number", [100, 1000])
def test_nodes_are_read_whole_where_what_they_have_decides_and_all_else_fits(api: Api, number: int) -> None:
    api.register_images()
    api.post("/v1/flavors", {"name": "fast", "memory_mib": 65, "extra_specs": {"ssd": "true"}}, 201)
    enrol(api, number)
    api.transact(lambda tx: tx.update(Node, "id0042", {"inventory": SSD, "memory_mib": 65}))
    api.transact(lambda tx: tx.update(Node, "id0043", {"memory_mib": 65}))
    store = counting(api)
    found = dry_run(api, "fast")
    assert found["node"] == "n0042"
    told = {one["node"]: one["why"] for one in found["refused"]}
    assert told["n0043"] == "its ssd isn't known before its agent has reported once, true is asked for"
    assert max(store.rows) <= AT_ONCE + FEW
    assert sum(store.whole) <= 2 + FEW


def test_a_dry_run_for_a_node_reads_that_one(api: Api) -> None:
    api.register_images()
    enrol(api, 1000)
    store = counting(api)
    assert dry_run(api, "small", node="n0500")["node"] == "n0500"
    assert sum(store.rows) <= 1 + 2 * FEW


def test_who_asks_for_many_dry_runs_has_them_one_by_one_and_others_get_their_turn(api: Api) -> None:
    api.register_images()
    enrol(api, 2 * AT_ONCE)
    users = [api.user_of(tenant, "reader") for tenant in ("red", "blue")]
    order = {"flavor": "small", "image": "root"}

    async def ask(who: int) -> Any:
        return await api.request("POST", "/v1/placement", json=order, headers=users[who].headers)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(ask(0) for _ in range(24)), ask(1))

    answers = api.run(all_at_once())
    told = [answer.status_code for answer in answers]
    assert told[-1] == 200
    assert sorted(told[:-1]) == [200] * 4 + [503] * 20
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert "4 of tenant red wait" in refused.json()["answer"]


@pytest.mark.parametrize("number", [100, 1000])
def test_the_largest_free_nodes_are_found_once_in_a_while_for_all_who_ask_for_the_metrics(
    api: Api, number: int
) -> None:
    enrol(api, number)
    now = api.context_now()
    host = Host(id="host", epoch=1, beat=1, ttl_ms=9000, holder="", renewed_at=now, started_at=now)
    api.transact(lambda tx: tx.insert(host))
    store = counting(api)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(api.request("GET", "/metrics") for _ in range(10)))

    texts = [answer.text for answer in api.run(all_at_once())]
    largest = 'provisioner_host_largest_free_node{host="host",resource="memory_mib"}'
    assert all(f"{largest} 64.0" in text for text in texts)
    assert max(store.rows) <= capacity.AT_ONCE
    assert number <= sum(store.rows) <= number + 10  # the host's, each time
    api.transact(lambda tx: tx.update(Node, "id0007", {"memory_mib": 65}))
    assert f"{largest} 64.0" in api.call("GET", "/metrics").text
    api.context.clock = Later()
    assert f"{largest} 65.0" in api.call("GET", "/metrics").text


class Later(SystemClock):
    def monotonic_s(self) -> float:
        return super().monotonic_s() + capacity.ANEW_EVERY_S

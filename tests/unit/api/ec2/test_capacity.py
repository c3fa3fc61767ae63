"""Whether RunInstances finds room: what others ask for counts only where it could have the same nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from httpx import QueryParams

from provisioner.api.ec2 import capacity
from provisioner.api.line import Line
from provisioner.api.node_survey import AT_ONCE
from provisioner.core.model import Flavor, Image, Node
from tests.unit.api.counting_store import CountingStore
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.records import flavor, image, instance, node

FEW = 8
"""Rows of a transaction beside its nodes: the key's, the flavor's, the image's."""


@pytest.fixture
def root(ec2: Ec2) -> str:
    """A root image's id; there are two nodes of 2 GiB, one of them in the zone east."""
    ec2.api.register_images()
    nodes = [node(id=f"n{n}", name=f"n{n}", memory_mib=2048, zone=zone) for n, zone in ((1, "east"), (2, ""))]
    ec2.api.transact(lambda tx: tx.insert(*nodes, image(id="on-arm", name="on-arm", arch="arm64")))
    return str(next(one["ImageId"] for one in ec2.read("DescribeImages")["Images"] if one["Name"] == "root"))


def others_ask(ec2: Ec2, number: int, **changes: Any) -> None:
    """Requests of somebody else's that the scheduler hasn't looked at yet."""
    own = ec2.api.transact(lambda tx: tx.find(Image, where={"name": "root"}))[0].id
    wish = {"image_id": own, "tenant": "other", **changes}
    asked = [instance(id=f"other{n}", name=f"other{n}", **wish) for n in range(number)]
    ec2.api.transact(lambda tx: tx.insert(*asked))


def run(ec2: Ec2, root: str, count: int, **more: str) -> str:
    """What is answered, in a word."""
    asked = {"ImageId": root, "InstanceType": "small", "MinCount": str(count), "MaxCount": str(count)}
    answer = ec2.call("RunInstances", **{**asked, **more})
    return "run" if answer.is_success else answer.text


def test_who_finds_too_few_hears_why_the_other_free_ones_cannot_carry_it(ec2: Ec2, root: str) -> None:
    others = [node(id=f"s{n}", name=f"s{n}", arch="arm64", memory_mib=2048) for n in range(3)]
    ec2.api.transact(lambda tx: tx.insert(*others))
    told = run(ec2, root, 3)
    assert "no capacity for 3 of small now: 2 could be had. Other free nodes can" in told
    assert "3 × " in told and told.count("for x86_64, not arm64.") == 1, told


@pytest.mark.parametrize(
    "wish",
    [
        {"image_id": "on-arm"},
        {"image_id": "gone"},
        {"flavor": flavor(memory_mib=4096)},
        {"flavor": flavor(extra_specs={"memory_mib": ">= 4096"})},
        {"zone": "west"},
        {"host_name": "elsewhere"},
        {"node_name": "n9"},
    ],
    ids=str,
)
def test_requests_that_could_not_have_these_nodes_take_nothing_of_the_capacity(
    ec2: Ec2, root: str, wish: dict[str, Any]
) -> None:
    others_ask(ec2, 5, **wish)
    assert run(ec2, root, 2) == "run"


@pytest.mark.parametrize(
    ("number", "wish", "left"),
    [
        (1, {}, 1),
        (5, {}, 0),
        (5, {"node_name": "n1"}, 1),
        (5, {"zone": "east"}, 1),
        (1, {"flavor": flavor(extra_specs={"ssd": "true"})}, 1),
    ],
)
def test_requests_that_could_have_them_take_as_many_as_they_could(
    ec2: Ec2, root: str, number: int, wish: dict[str, Any], left: int
) -> None:
    others_ask(ec2, number, **wish)
    assert f"now: {left} could be had" in run(ec2, root, 2)
    assert left == 0 or run(ec2, root, left) == "run"


def test_more_requests_than_are_looked_at_each_are_held_to_take_a_node(
    ec2: Ec2, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.api.ec2.capacity.OTHERS_LOOKED_AT", 2)
    others_ask(ec2, 3, zone="west")
    assert "now: 1 could be had" in run(ec2, root, 2)


def test_a_node_that_was_taken_since_it_was_found_is_not_offered(
    ec2: Ec2, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = capacity.fitting

    async def and_then_taken(*given: Any) -> capacity.Found:
        found = await fitting(*given)
        await ec2.api.store.transact(lambda tx: tx.update(Node, "n1", {"instance_id": "another"}))
        return found

    monkeypatch.setattr(capacity, "fitting", and_then_taken)
    assert "now: 1 could be had" in run(ec2, root, 2)


def test_who_is_too_slow_for_a_crowd_looks_at_more_nodes_each_time(
    ec2: Ec2, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are given the first of those that were found, four pages of them if there are so many."""
    nodes = [node(id=f"m{n:04}", name=f"m{n:04}") for n in range(16 * AT_ONCE)]
    ec2.api.transact(lambda tx: tx.insert(*nodes))
    fitting = capacity.fitting

    async def and_then_taken(*given: Any) -> capacity.Found:
        found = await fitting(*given)
        taken = {node.id: {"instance_id": "another"} for node in found.nodes[: 4 * AT_ONCE]}
        await ec2.api.store.transact(lambda tx: tx.update_all(Node, taken))
        return found

    monkeypatch.setattr(capacity, "fitting", and_then_taken)
    assert run(ec2, root, 1) == "run"


@pytest.mark.parametrize("number", [100, 1000])
@pytest.mark.parametrize("specs", [{}, {"ssd": "false"}], ids=["sizes", "found"])
def test_nodes_are_looked_at_in_short_transactions_where_none_fits(
    ec2: Ec2, root: str, number: int, specs: dict[str, str]
) -> None:
    nodes = [node(id=f"m{n:04}", name=f"m{n:04}", memory_mib=64) for n in range(number)]
    wide = Flavor(id="wide", name="wide", cpus=1, memory_mib=4096, disk_mib=1, extra_specs=specs)
    ec2.api.transact(lambda tx: tx.insert(wide, *nodes))
    ec2.api.context.store = store = CountingStore(ec2.api.store)
    assert "now: 0 could be had" in run(ec2, root, 1, InstanceType="wide")
    assert max(store.rows) <= AT_ONCE + FEW
    assert sum(store.rows) <= number + 4 * FEW
    assert sum(store.whole) <= 2 * FEW


def test_no_more_nodes_are_looked_at_than_are_enough(ec2: Ec2, root: str) -> None:
    nodes = [node(id=f"m{n:04}", name=f"m{n:04}") for n in range(1000)]
    ec2.api.transact(lambda tx: tx.insert(*nodes))
    ec2.api.context.store = store = CountingStore(ec2.api.store)
    assert run(ec2, root, 1) == "run"
    assert sum(store.rows) <= 2 * AT_ONCE + 4 * FEW  # each once more, by its id


def run_at_once(ec2: Ec2, root: str, times: int, token: str = "t") -> list[int]:
    asked = {"ImageId": root, "InstanceType": "wide", "MinCount": "1", "MaxCount": "1"}

    async def one(number: int) -> int:
        words = {
            "Action": "RunInstances",
            "Version": "2016-11-15",
            **asked,
            "ClientToken": f"{token}{number}",
        }
        signed = ec2.signed(str(QueryParams(words)))
        headers = dict(signed.headers.items())
        return (await ec2.api.request("POST", "/ec2", content=signed.data, headers=headers)).status_code

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(times)))

    return ec2.api.run(all_at_once())


@pytest.mark.parametrize(
    ("small", "most_at_once", "told"),
    [(0, 4, {200: 9}), (1000, 128, {200: 9}), (1000, 4, {200: 4, 503: 5})],
    ids=["few", "many", "more than may wait"],
)
def test_who_asks_for_many_at_once_waits_for_a_turn_where_many_nodes_must_be_looked_at(
    ec2: Ec2, root: str, small: int, most_at_once: int, told: dict[int, int]
) -> None:
    ec2.api.context.orders_line = Line(most=1000, most_of_one=most_at_once)
    large = [node(id=f"z{n}", name=f"z{n}") for n in range(9)]
    others = [node(id=f"m{n:04}", name=f"m{n:04}", memory_mib=64) for n in range(small)]
    wide = Flavor(id="wide", name="wide", cpus=1, memory_mib=512, disk_mib=1)
    ec2.api.transact(lambda tx: tx.insert(wide, *large, *others))
    ec2.api.transact(lambda tx: [tx.delete(Node, id) for id in ("n1", "n2")])
    assert Counter(run_at_once(ec2, root, 9)) == told


def test_who_found_only_what_others_got_meanwhile_looks_again(ec2: Ec2, root: str) -> None:
    """Enough was found among the first that were looked at; there is more behind these."""
    small = [node(id=f"m{n:04}", name=f"m{n:04}", memory_mib=64) for n in range(AT_ONCE)]
    first = node(id="a", name="a")
    ec2.api.transact(lambda tx: tx.insert(first, *small))
    ec2.api.transact(lambda tx: tx.delete(Node, "n2"))
    wide = Flavor(id="wide", name="wide", cpus=1, memory_mib=512, disk_mib=1)
    ec2.api.transact(lambda tx: tx.insert(wide))
    assert Counter(run_at_once(ec2, root, 2)) == {200: 2}
    assert Counter(run_at_once(ec2, root, 1, "more")) == {400: 1}

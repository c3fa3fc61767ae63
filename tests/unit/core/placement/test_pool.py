"""The pool's arrangement decides as looking at every node would."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from provisioner.core.feeds import pdus_of
from provisioner.core.model import Instance, Node
from provisioner.core.placement import pool as pool_module
from provisioner.core.placement.filters import OF_ITS_KIND, refusal
from provisioner.core.placement.kind import demand_of, kind_of
from provisioner.core.placement.pool import Pool
from provisioner.core.placement.weighers import WEIGHERS, Standing
from provisioner.core.states import PowerState, ProvisionState
from tests.searches import searching
from tests.unit.records import FLAVOR, image, instance, node

IMAGE = image()


def outlet(pdu: str, number: int) -> dict[str, object]:
    return {"driver": "snmp", "family": "apc", "address": pdu, "outlets": [number]}


@st.composite
def nodes(draw: st.DrawFn, *, free: bool = True) -> Node:
    number = draw(st.integers(0, 11))
    pdus = draw(st.lists(st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.3")), max_size=2, unique=True))
    feeds = [outlet(pdu, number) for pdu in pdus]
    changes: dict[str, object] = {}
    if not free:
        changes = {
            "state": draw(st.sampled_from((ProvisionState.AVAILABLE, ProvisionState.ACTIVE))),
            "maintenance": draw(st.booleans()),
            "inventory": draw(st.sampled_from((None, {"disks": [{"rotational": True}], "nics": []}))),
        }
    return node(
        id=f"id-{number}",
        name=f"n{number % 7}-{number}",
        memory_mib=draw(st.sampled_from((1024, 2048))),
        owner=draw(st.sampled_from(("h1", "h2"))),
        zone=draw(st.sampled_from(("", "z"))),
        rack=draw(st.sampled_from(("", "r1", "r2"))),
        reserved_for=draw(st.sampled_from(("", "", "lab"))),
        deploy_failures=draw(st.sampled_from((0, 0, 1, 3))),
        power_state=draw(st.sampled_from((PowerState.OFF, PowerState.OFF, PowerState.UNKNOWN))),
        power_driver="feeds" if pdus else "ipmi",
        power_address={"feeds": feeds} if pdus else {"address": f"10.1.0.{number}"},
        **changes,
    )


REQUESTS = st.builds(
    lambda memory_mib, zone, host, tenant, failed_on, specs: instance(
        flavor=replace(FLAVOR, memory_mib=memory_mib, extra_specs=specs),
        zone=zone,
        host_name=host,
        tenant=tenant,
        failed_on=failed_on,
    ),
    st.sampled_from((512, 2048, 4096)),
    st.sampled_from(("", "", "z")),
    st.sampled_from((None, None, "h2")),
    st.sampled_from(("default", "lab")),
    st.sampled_from(((), (), ("id-1", "id-2"))),
    st.sampled_from(({}, {"memory_mib": "<= 1024"}, {"ssd": "true"})),
)


def by_looking_at_each(free: dict[str, Node], deploys: Counter[str], asked: Instance) -> Node | None:
    others = [one for one in free.values() if one.id not in asked.failed_on]
    on: Counter[str] = Counter(pdu for one in others for pdu in _pdus(one))
    there = Counter(one.rack for one in others if one.rack)
    fitting = [one for one in free.values() if refusal(asked, IMAGE, one) is None]
    standings = [
        Standing(
            one, min((on[pdu] for pdu in _pdus(one)), default=0), there[one.rack], deploys[str(one.owner)]
        )
        for one in fitting
    ]
    best = min(standings, key=lambda standing: tuple(weigh(standing) for weigh in WEIGHERS), default=None)
    return best.node if best else None


def _pdus(one: Node) -> frozenset[str]:
    return pdus_of(one.power_driver, one.power_address)


# Alike, but for a few things: else each would lie on a shelf of its own, and nothing would be arranged.
ALIKE = st.builds(
    lambda number, size, owner, pdus, rack: node(
        id=f"id-{number}",
        name=f"n{number % 7}-{number}",
        memory_mib=size,
        owner=owner,
        rack=rack,
        power_driver="feeds" if pdus else "ipmi",
        power_address={"feeds": [outlet(pdu, number) for pdu in pdus]} if pdus else {"address": f"{number}"},
    ),
    st.integers(0, 19),
    st.sampled_from((1024, 1024, 1024, 2048)),
    st.sampled_from(("h1", "h1", "h2")),
    st.sampled_from(((), ("p1",), ("p1",), ("p2",), ("p2", "p3"))),
    st.sampled_from(("", "r1", "r2")),
)
OFTEN_ASKED = st.sampled_from(
    (
        instance(),
        instance(),
        instance(flavor=replace(FLAVOR, memory_mib=2048)),
        instance(host_name="h2"),
        instance(failed_on=("id-1", "id-2", "id-3", "id-4")),
    )
)


class Arrangement(RuleBasedStateMachine):
    """Nodes come and go, requests are placed."""

    @initialize(some=st.lists(ALIKE, max_size=15))
    def begin(self, some: list[Node]) -> None:
        self.deploys: Counter[str] = Counter()
        self.free: dict[str, Node] = {}
        self.pool = Pool(self.deploys)
        self.come(some)

    @rule(some=st.lists(ALIKE | nodes(), min_size=1, max_size=6))
    def come(self, some: list[Node]) -> None:
        for one in some:
            self.free[one.id] = one
            self.pool.put(one)

    @rule(number=st.integers(0, 19))
    def go(self, number: int) -> None:
        assert self.pool.take(f"id-{number}") == self.free.pop(f"id-{number}", None)

    @rule(host=st.sampled_from(("h1", "h2")))
    def end_deploy(self, host: str) -> None:
        self.deploys[host] = 0

    @rule(asked=OFTEN_ASKED | REQUESTS, times=st.integers(1, 5))
    def place(self, asked: Instance, times: int) -> None:
        for _ in range(times):
            expected = by_looking_at_each(self.free, self.deploys, asked)
            chosen = self.pool.choose(asked, IMAGE)
            assert chosen == expected
            if chosen is None:
                return
            self.pool.take(chosen.id)
            del self.free[chosen.id]
            self.deploys[str(chosen.owner)] += 1

    @invariant()
    def it_knows_the_free_ones(self) -> None:
        assert self.pool.nodes == self.free


TestArrangement = Arrangement.TestCase
TestArrangement.settings = searching(25, stateful_step_count=12)


@given(nodes(free=False), nodes(free=False), REQUESTS)
def test_filters_say_the_same_of_all_nodes_of_a_kind(one: Node, other: Node, asked: Instance) -> None:
    if kind_of(one) == kind_of(other):
        for refuses in OF_ITS_KIND:
            assert refuses(asked, IMAGE, one) == refuses(asked, IMAGE, other)


@given(nodes(free=False), REQUESTS, REQUESTS)
def test_filters_say_the_same_to_all_requests_that_demand_the_same(
    one: Node, asked: Instance, other: Instance
) -> None:
    if demand_of(asked, IMAGE) == demand_of(other, IMAGE):
        for refuses in OF_ITS_KIND:
            assert refuses(asked, IMAGE, one) == refuses(other, IMAGE, one)


def test_reasons_are_counted_by_kinds() -> None:
    pool = Pool()
    for number in range(30):
        pool.put(node(id=str(number), name=f"n{number}", memory_mib=256 if number % 3 else 4096))
    assert pool.refusals(instance(), IMAGE) == {"it has 256 MiB of memory, 512 are needed": 20}
    assert pool.choose(instance(), IMAGE) is not None


def test_a_choice_looks_at_kinds_and_not_at_nodes() -> None:
    """What makes a choice among ten thousand as cheap as among a hundred."""
    pool = Pool()
    for number in range(2000):
        pool.put(node(id=str(number), name=f"n{number:04}", memory_mib=1024 * (1 + number % 4)))
    looked = 0

    class Counting(str):
        def __eq__(self, other: object) -> bool:
            nonlocal looked
            looked += 1
            return str.__eq__(self, str(other))

        __hash__ = str.__hash__

    asked, counting = instance(), image(arch=Counting("x86_64"))
    for _ in range(1000):
        chosen = pool.choose(asked, counting)
        assert chosen is not None
        pool.take(chosen.id)
    assert looked < 3000


def test_places_are_weighed_once_for_all_nodes_that_come_free_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each that comes makes the places of all others on its PDU and in its rack better."""
    weighed = 0

    def counting(standing: Standing) -> int:
        nonlocal weighed
        weighed += 1
        return -standing.on_its_pdus

    monkeypatch.setattr(pool_module, "OF_PLACES", (counting,))
    pool = Pool()
    for number in range(200):
        power = {"feeds": [outlet(f"own-{number % 20}", number), outlet("of-all", number)]}
        pool.put(node(id=str(number), name=f"n{number:03}", power_driver="feeds", power_address=power))
    assert pool.choose(instance(), IMAGE) is not None
    assert weighed <= 2 * 20

"""Ownership broken on purpose, and the invariants that say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from bmsim.faults.catalogue import CATALOGUE
from provisioner.compute.ledger import NodeLedger
from provisioner.compute.membership import Membership
from provisioner.core.model import Host, Node, TimelineEvent
from provisioner.protocols.store import Tx
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Delete, Deploy, Story, Strike
from scenarios.runner.verdict import Verdict

pytestmark = pytest.mark.exhaustive  # each takes as long as a hundred unit tests


def strike(fault: str, at_s: float, heal_after_s: float | None, **parameters: Any) -> Strike:
    return Strike(
        fault=fault,
        host="ch1",
        parameters=CATALOGUE[fault].completed(parameters),
        when=AtTime(at_s),
        heal_after_s=heal_after_s,
    )


def broken_promises(strikes: tuple[Strike, ...], seed: int) -> set[str]:
    hosts, nodes = rack(1, 2)
    story = Story(
        name="mutant",
        hosts=hosts,
        nodes=nodes,
        requests=(
            Deploy(instance="web", image="tiny", node="n1"),
            Delete(instance="web", when=AtTime(400.0)),
        ),
        strikes=strikes,
        images=("tiny",),
        safety_s=600.0,
    )
    result = play_story(story, Fidelity.MODEL, seed).result
    assert result.verdict is not Verdict.INFRA, result.trouble
    return {breach.promise for breach in result.breaches}


FROZEN_AT_S = tuple(product((4.0 + 0.3 * number for number in range(11)), range(1, 10)))
"""When the owner stands still, and the seed."""


def thawed_with_a_write_in_flight(at_s: float, seed: int) -> set[str]:
    """The owner stands still while the other host finishes the deploy, with a write half way to the store, or
    not, as the seed will have it."""
    slow = strike("db.slow", 0.0, None, delay_s=0.6)
    return broken_promises((slow, strike("host.stop", at_s, 200.0)), seed)


def cut_off_for_a_moment() -> set[str]:
    told = set()
    for at_s, seed in product((20.0, 32.0), (3, 4)):
        told |= broken_promises((strike("host.partition", at_s, 3.0, **{"from": "store"}),), seed)
    return told


def test_sound_owners_break_no_promise() -> None:
    assert cut_off_for_a_moment() == set()
    assert set().union(*(thawed_with_a_write_in_flight(*when) for when in FROZEN_AT_S[::12])) == set()


def test_a_write_without_a_look_at_the_fence_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def write_unfenced(
        self: NodeLedger,
        changes: Mapping[str, Any],
        *events: TimelineEvent,
        also: Callable[[Tx], None] | None = None,
    ) -> None:
        def write(tx: Tx) -> None:
            tx.update(Node, self.node.id, changes)
            tx.insert(*(replace(event, at=tx.now()) for event in events))
            if also is not None:
                also(tx)
            tx.notify(f"node:{self.node.id}")

        await self._store.transact(write)
        self.node = replace(self.node, **changes)

    monkeypatch.setattr(NodeLedger, "write", write_unfenced)
    # Few writes do harm so late: those that say what an active node is to have done to it.
    assert any("active_node_untouched" in thawed_with_a_write_in_flight(*when) for when in FROZEN_AT_S)


def test_a_takeover_before_the_lease_has_run_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    left_s = Membership.left_s

    def impatient(self: Membership, row: Host, now_s: float) -> float:
        return left_s(self, row, now_s + 4.0)

    monkeypatch.setattr(Membership, "left_s", impatient)
    assert cut_off_for_a_moment() & {"one_owner", "one_publisher"}

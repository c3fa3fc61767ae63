"""Stories that seeds make up: whatever one asks of a rack and breaks in it, no promise is broken.

The same as `bmsim scenario search` plays, in portions: `script/test` plays the first of each search,
`script/test --full` all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from scenarios.runner.collect import traces_of_tests
from scenarios.runner.jobs import Job, play_job
from scenarios.runner.report import failure_text
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Seeds 1 to `seeds`; `hosts` are taken in turn, as the command takes them."""

    seeds: int
    nodes: int
    hosts: range
    orders: int = 0

    def job(self, seed: int) -> Job:
        hosts = self.hosts[seed % len(self.hosts)]
        return Job(
            fidelity=Fidelity.MODEL, seed=seed, nodes=self.nodes, compute_hosts=hosts, orders=self.orders
        )


SEARCHES = {
    "one host": Search(seeds=10_000, nodes=5, hosts=range(1, 2)),
    "two to five hosts": Search(seeds=20_000, nodes=2, hosts=range(2, 6)),
    "two to five hosts, five nodes": Search(seeds=2_000, nodes=5, hosts=range(2, 6)),
    "orders of power": Search(seeds=2_000, nodes=2, hosts=range(2, 6), orders=6),
}
PORTION = 100


def portions() -> Iterator[Any]:
    for name, searched in SEARCHES.items():
        for first in range(1, searched.seeds + 1, PORTION):
            marks = pytest.mark.exhaustive if first == 1 else pytest.mark.full
            yield pytest.param(name, first, id=f"{name}-{first}", marks=marks)


@pytest.mark.parametrize(("search", "first"), list(portions()))
def test_no_promise_is_broken_whatever_a_seed_makes_up(search: str, first: int) -> None:
    broken = list[str]()
    for seed in range(first, first + PORTION):
        played = play_job(SEARCHES[search].job(seed), traces_of_tests())
        if played.result.verdict is not Verdict.PASS:
            broken.append(failure_text(played))
    assert not broken, "\n\n".join(broken)

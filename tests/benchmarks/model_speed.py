"""How fast stories are played by the model: random schedules a minute, large racks, cost and memory per node.

Run: `python -m tests.benchmarks.model_speed [--seeds 1000] [--most-nodes 100|1000|10000] [--check]`. To judge
a change, run it beside a checkout of the version before: figures of a shared machine alone mean little.
Exits with 1 when a story doesn't pass, with `--check` also when a goal is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import NamedTuple

from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack, random_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Deploy, OnEvent, Story, Strike
from scenarios.runner.verdict import Verdict
from tests.benchmarks.goals import Goal, exit_code, offer_check

GOALS = (
    Goal("random schedules with 2 jobs", 1_000, "a minute", at_least=True),
    Goal("deploys of 1000 nodes, 1 in 100 faulty", 15, "s"),
    Goal("deploys of 10000 nodes, 1 in 100 faulty", 180, "s"),
    Goal("CPU per node of 10000 ÷ of 100", 1.3),
)

JOBS = 2
SIZES = (100, 1_000, 10_000)
ONE_IN = 100
"""Of so many nodes, one has a faulty BMC."""

PLAYED_AT_LEAST = 1_000
"""Nodes: a small rack is played again, and the middle counts."""


class Failed(Exception):
    """A story didn't pass: its time says nothing."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=1000, help="so many random schedules")
    parser.add_argument("--most-nodes", type=int, default=10_000, choices=SIZES, help="the largest rack")
    offer_check(parser)
    wanted = parser.parse_args()
    found: dict[str, float] = {}
    try:
        for what, figure, told in _figures(wanted.seeds, wanted.most_nodes):
            found[what] = figure
            print(f"| {what} | {told.format(figure)} |", flush=True)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return exit_code(GOALS, found, check=wanted.check)


def _figures(seeds: int, most_nodes: int) -> Iterator[tuple[str, float, str]]:
    """What, how much, and how that is told."""
    _cpu_s(random_story(0), 0)  # what is imported and worked out once is no story's
    few = min(seeds, 100)
    spent_s = sum(_cpu_s(random_story(seed), seed) for seed in range(1, few + 1))
    yield "CPU of a random schedule, 5 nodes, 2 faults", spent_s / few, "{:.3f} s"
    yield f"random schedules with {JOBS} jobs", _searched_a_minute(seeds), "{:.0f}/min"
    smallest = SIZES[0]
    before = _cost(smallest)
    for nodes in (size for size in SIZES if size <= most_nodes):
        cost = before if nodes == smallest else _cost(nodes)
        each_s = cost.cpu_s / nodes
        yield f"deploys of {nodes} nodes, 1 in {ONE_IN} faulty", cost.took_s, "{:.1f} s"
        yield f"CPU per node of {nodes}", 1000 * each_s, "{:.1f} ms"
        yield f"memory with {nodes} nodes", cost.memory_mib, "{:.0f} MiB"
        if nodes != smallest:
            # Before and after it: a machine that others share is quicker in one minute than in the next.
            after = _cost(smallest)
            beside_s = (before.cpu_s + after.cpu_s) / 2 / smallest
            yield f"CPU per node of {nodes} ÷ of {smallest}", each_s / beside_s, "{:.2f}"
            before = after


class _Cost(NamedTuple):
    cpu_s: float
    took_s: float
    memory_mib: float


def _cost(nodes: int) -> _Cost:
    """In a process of its own: what one has used at most isn't the next one's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_rack_cost, nodes).result()


def _rack_cost(nodes: int) -> _Cost:
    _cpu_s(random_story(0), 0)
    story, cpu_s, took_s = large_story(nodes), list[float](), list[float]()
    for _ in range(max(1, PLAYED_AT_LEAST // nodes)):
        begun_s = time.perf_counter()
        cpu_s.append(_cpu_s(story, 1))
        took_s.append(time.perf_counter() - begun_s)
    most_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _Cost(median(cpu_s), median(took_s), most_kib / 1024)


def _cpu_s(story: Story, seed: int) -> float:
    begun_s = time.process_time()
    result = play_story(story, Fidelity.MODEL, seed).result
    if result.verdict is not Verdict.PASS:
        raise Failed(f"{story.name}, seed {seed}: {result.verdict} {result.breaches or result.trouble}")
    return time.process_time() - begun_s


def _searched_a_minute(seeds: int) -> float:
    """The command as it is typed, with the start of its workers."""
    begun_s = time.perf_counter()
    search = f"import sys; from bmsim.cli import main; sys.argv = ['bmsim', *{_search(seeds)!r}]; main()"
    done = subprocess.run([sys.executable, "-c", search], capture_output=True, text=True, timeout=3600)
    if done.returncode:
        raise Failed(done.stdout + done.stderr)
    return 60 * seeds / (time.perf_counter() - begun_s)


def _search(seeds: int) -> list[str]:
    return ["scenario", "search", "--seeds", f"1..{seeds}", "--jobs", str(JOBS)]


def large_story(nodes: int) -> Story:
    """All nodes at once, as `scenarios/scale/thousand-nodes.yaml` has them."""
    hosts, machines = rack(nodes)
    return Story(
        name=f"{nodes}-nodes",
        hosts=hosts,
        nodes=machines,
        requests=tuple(
            Deploy(instance=f"i-{node.name}", image="tiny", node=node.name, when=AtTime(0))
            for node in machines
        ),
        strikes=tuple(
            Strike(
                fault="bmc.busy",
                node=node.name,
                parameters=CATALOGUE["bmc.busy"].completed({"count": 5}),
                when=OnEvent("step", "step.started", node.name, detail={"step": "set_boot_device"}),
            )
            for node in machines[::ONE_IN]
        ),
        images=("tiny",),
    )


if __name__ == "__main__":
    sys.exit(main())

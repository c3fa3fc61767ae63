"""What has to be true of a scenario's rack before anything is started."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from scenarios.runner.parts import FaultPart
from scenarios.runner.stage import Fidelity

if TYPE_CHECKING:
    from scenarios.runner.schema import Scenario

Problem = tuple[tuple[int | str, ...], str]
"""Where it stands, and what to change."""

CHOSEN = ("any", "all")
"""In the place of a node's or an instance's name."""

RESERVED = ("owner", "control")
"""Who owns a node, and the host that has what compute hosts share."""

MACHINE_NODES = 100
"""More have no address left on the management network of a rack, nor memory on any machine."""


def rack_problems(scenario: Scenario) -> Iterator[Problem]:
    names = scenario.node_names
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in (*CHOSEN, *RESERVED, *scenario.rack.host_names):
            yield ("rack", "nodes", index, "name"), f"{name} has a meaning of its own: take another name"
        if name in seen:
            yield ("rack", "nodes", index, "name"), f"{name} is given twice"
        seen.add(name)
    if Fidelity.MACHINE in scenario.fidelities and len(names) > MACHINE_NODES:
        yield (
            ("rack", "nodes"),
            f"{len(names)} nodes are too many for fidelity machine: write at most {MACHINE_NODES}, "
            "or play it at model alone",
        )


def without_its_store(scenario: Scenario, fault: FaultPart) -> str:
    """What is to change when a fault strikes the way to a store that nobody shares; empty: nothing."""
    of_store = fault.do.startswith("db.") or fault.with_.get("from", "nodes") != "nodes"
    if not of_store or Fidelity.MACHINE not in scenario.fidelities or scenario.rack.compute_hosts > 1:
        return ""
    return (
        "at fidelity machine one compute host has its store to itself, and nothing lies between: write "
        "compute_hosts: 2, or play it at model alone"
    )


def listed(names: Iterable[str]) -> str:
    """What there is, in the place of what isn't."""
    known = sorted(names)
    return f"there are {', '.join(known[:8])}{', …' if known[8:] else ''}" if known else "there is none"

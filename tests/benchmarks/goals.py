"""What the figures of a benchmark are to be. With `--check`, a run ends with 1 when one of them isn't so.

The suite plays some on whatever machine it runs on, with `--check 2`: twice as slow will do there. Figures
that count, queries or instructions (tests/benchmarks/work.py), tell there what times can't."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

COLD = 10
"""How many times dearer work on cold memory may be in the suite, beside the room that all have: five and
ten times was seen on a machine that did nothing else, by what others did on its host."""


@dataclass(frozen=True, slots=True)
class Goal:
    """figure: as the benchmark calls it. limit: the most that it may be, or with `at_least` the least. unit:
    empty when it is a ratio of what was measured side by side. cold: its CPU time goes into memory that is in
    no cache, being large or long unused, and whoever shares the caches makes it dearer."""

    figure: str
    limit: float
    unit: str = ""
    at_least: bool = False
    cold: bool = False

    def within(self, room: float) -> Goal:
        """The same for a machine that may be so many times slower. That alone changes no ratio."""
        factor = (room if self.unit else 1.0) * (COLD if self.cold and room > 1 else 1)
        return replace(self, limit=self.limit / factor if self.at_least else self.limit * factor)

    def missed(self, found: float) -> bool:
        # Nothing that can't be compared (NaN) meets a goal.
        return not (found >= self.limit if self.at_least else found <= self.limit)

    @property
    def bound(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:,g} {self.unit}".rstrip()


def offer_check(parser: argparse.ArgumentParser) -> None:
    """`check` of what it parses: how many times slower than its goals the machine may be; 0: nobody asks."""
    told = (
        "end with 1 when a goal is missed, or its figure wasn't measured, and name both; "
        "ROOM: by more than this factor, where it isn't a ratio (default: 1), and if it is above 1 by more "
        f"than {COLD} times that where caches decide, which others use too"
    )
    parser.add_argument("--check", nargs="?", type=_room, const=1.0, default=0.0, metavar="ROOM", help=told)


def _room(given: str) -> float:
    room = float(given)
    if not 1 <= room < math.inf:
        raise argparse.ArgumentTypeError(f"{given} is not a factor of 1 or more")
    return room


def exit_code(goals: Sequence[Goal], figures: Mapping[str, float], *, check: float) -> int:
    """Names each goal that is missed; 0 when there is none, or nobody wants to know. check: as
    `offer_check` tells."""
    told = [text for goal in goals if (text := _miss(goal.within(check), figures))] if check else []
    for text in told:
        print(text, file=sys.stderr)
    return 1 if told else 0


def _miss(goal: Goal, figures: Mapping[str, float]) -> str:
    """Empty: the goal is met."""
    if goal.figure not in figures:
        return f"{goal.figure}: was not measured; the goal is {goal.bound}"
    found = figures[goal.figure]
    if not goal.missed(found):
        return ""
    return f"{goal.figure}: {found:,.4g} {goal.unit}".rstrip() + f"; the goal is {goal.bound}"

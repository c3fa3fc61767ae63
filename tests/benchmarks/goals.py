"""What the figures of a benchmark are to be. With `--check`, a run ends with 1 when one of them isn't so."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """figure: as the benchmark calls it. limit: the most that it may be, or with `at_least` the least."""

    figure: str
    limit: float
    unit: str = ""
    at_least: bool = False

    def missed(self, found: float) -> bool:
        # Nothing that can't be compared (NaN) meets a goal.
        return not (found >= self.limit if self.at_least else found <= self.limit)

    @property
    def bound(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:,g} {self.unit}".rstrip()


def offer_check(parser: argparse.ArgumentParser) -> None:
    told = "end with 1 when a goal is missed, or its figure wasn't measured, and name both"
    parser.add_argument("--check", action="store_true", help=told)


def exit_code(goals: Sequence[Goal], figures: Mapping[str, float], *, check: bool) -> int:
    """Names each goal that is missed; 0 when there is none, or nobody wants to know."""
    told = [text for goal in goals if (text := _miss(goal, figures))] if check else []
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

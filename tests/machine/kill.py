"""kill -9 of the provisioner in a step of a node's work, however short that is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from provisioner.core.plan import Plan
from tests.machine.commands import DEADLINES_S, eventually
from tests.machine.lab import Lab

BUSY_S = 60.0

# A view, as SQLite takes no common table expression in a trigger.
_WITHOUT_END = """
CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;
CREATE TRIGGER without_end BEFORE UPDATE OF work ON node
WHEN old.work ->> 'step' = '{step}' AND new.work ->> 'step' IS NOT '{step}'
BEGIN SELECT max(i) FROM endless; END;
"""
_WITH_END = "DROP TRIGGER without_end; DROP VIEW endless;"


def killed_in(lab: Lab, steps: Sequence[str], order: Callable[[], object]) -> dict[str, int]:
    """Gives the order, and kills the provisioner in each of the steps that follow from it, once the step is
    seen to have begun and before it has noted its end. Tells the newest event at each kill. For one node."""
    journal = Journal(lab.database)
    killed = {}
    begin = order
    for step in steps:
        with journal.without_end_of(step):
            try:
                begin()
                journal.comes_to(step)
            finally:
                lab.kill()
            assert (found := journal.step()) == step, f"it died in {found or 'no step'}, and not in {step}"
            killed[step] = journal.newest_event()
        begin = lab.launch
    begin()
    lab.becomes_ready()
    return killed


def each_was_taken_up_again(lab: Lab, plan: Plan, killed: dict[str, int]) -> None:
    """By the next process, and before any other step. Of a plan's first one, nothing is known yet to go on
    from: it begins once more."""
    steps = [event for event in lab.events() if event["name"].startswith("step.")]
    for step, newest in killed.items():
        entry = plan.resume_at(step)
        told = ("step.resumed", entry, f"taken up again by this process at {entry}; it had come to {step}")
        if step == plan.first:
            told = ("step.started", step, "")
        following = next(event for event in steps if event["id"] > newest)
        found = (following["name"], following["step"], following["text"])
        assert found == told, f"after the kill in {step}: {found}, and not {told}"


class Journal:
    """What is being done to a node, as it lies in the embedded database; read beside the provisioner, whether
    it lives or not."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def step(self) -> str:
        """That which is begun and not ended; empty when there is none."""
        return str(self._value("SELECT coalesce(work ->> 'step', '') FROM node"))

    def comes_to(self, step: str) -> None:
        """Returns when the step has begun."""
        eventually(f"step {step} begins", lambda: self.step() == step, DEADLINES_S["step"], 0.1)

    def newest_event(self) -> int:
        """Its number."""
        return int(str(self._value("SELECT coalesce(max(id), 0) FROM timeline_event")))

    @contextmanager
    def without_end_of(self, step: str) -> Iterator[None]:
        """Meanwhile nobody can note that the step has ended: who wants to stands still with all that it does,
        and only SIGKILL ends that."""
        self._change(_WITHOUT_END.format(step=step))
        try:
            yield
        finally:
            self._change(_WITH_END)

    def _value(self, query: str) -> object:
        with closing(self._open()) as database:
            (value,) = database.execute(query).fetchone()
            return value

    def _change(self, script: str) -> None:
        with closing(self._open()) as database:
            database.executescript(script)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._database, timeout=BUSY_S, isolation_level=None)

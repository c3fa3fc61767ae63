from __future__ import annotations

from typing import Protocol


class StepMeter(Protocol):
    """Counts what the steps of all nodes took, and what services fail. Never blocks and never raises."""

    def step_ended(self, step: str, took_s: float) -> None:
        """A step was done, `took_s` after this process entered it."""
        ...

    def step_retried(self, step: str) -> None:
        """A step ended without success and is tried again."""
        ...

    def served_otherwise(self, nodes: int) -> None:
        """So many nodes aren't served as their rows say, as of now."""
        ...

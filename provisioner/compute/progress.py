"""Live progress of running steps, in memory: for people who watch, not for decisions."""

from __future__ import annotations


class ProgressBoard:
    def __init__(self) -> None:
        self._fractions: dict[str, float] = {}

    def set(self, node_id: str, fraction: float) -> None:
        self._fractions[node_id] = min(max(fraction, 0.0), 1.0)

    def clear(self, node_id: str) -> None:
        self._fractions.pop(node_id, None)

    def get(self, node_id: str) -> float | None:
        """0…1 of the step that runs, None when it doesn't say."""
        return self._fractions.get(node_id)

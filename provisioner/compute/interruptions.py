"""Works that something outside of their steps interrupts again and again."""

from __future__ import annotations

from typing import NamedTuple

from provisioner.core.errors import ProvisionerError

MOST_INTERRUPTED = 10
"""So often a work is, but for what passes by itself, until it is given up."""


class _Interrupted(NamedTuple):
    work: str
    times: int
    cause: ProvisionerError


class Interruptions:
    """Of one host, by node: how often its work was, and why the last time."""

    def __init__(self) -> None:
        self._known: dict[str, _Interrupted] = {}

    def note(self, node_id: str, work: str, cause: ProvisionerError) -> None:
        """work: its id; empty: it couldn't be taken up, so it can't be given up either."""
        if work:
            known = self._known.get(node_id)
            times = known.times + 1 if known is not None and known.work == work else 1
            self._known[node_id] = _Interrupted(work, times, cause.with_traceback(None))

    def forget(self, node_id: str) -> None:
        """Its work has ended, or is another host's."""
        self._known.pop(node_id, None)

    def too_many(self, node_id: str, work: str) -> ProvisionerError | None:
        """Why the work is to be given up: nobody would ever hear of it. None: it isn't yet."""
        known = self._known.get(node_id)
        if known is None or known.work != work or known.times < MOST_INTERRUPTED:
            return None
        return known.cause

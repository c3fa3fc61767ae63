"""How far the scheduler goes in one transaction, and where the next one goes on: however many wait, and
however different what they ask for, others wait for the store no longer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provisioner.core.turns import Turn

FIRST = 20
"""Requests that are tried in each transaction: those whose turn it is, so that what came free meanwhile is
theirs and not somebody's whom the round has just come to."""

TRIED = 500
"""Requests, those included."""

LOOKS = 80
"""Images, nodes that are named, and reasons that are found: each reads, or compares with all that is free.
Those who are first need two each at most, so that the others always come on."""


class Round:
    """Everybody who waits is tried once, in turn, over several transactions where they are many."""

    def __init__(self) -> None:
        self._before: set[str] = set()  # tried in this round, in transactions that are sure
        self._now: list[str] = []  # in this one
        self._cut = self._ended = False

    def begin(self) -> None:
        """A transaction begins, or the same one anew."""
        self._now.clear()
        self._cut = self._ended = False

    def left(self, turns: Iterable[Turn]) -> Iterator[Turn]:
        """Those that are to be tried now. turns: all, first to last."""
        for place, turn in enumerate(turns):
            if place < FIRST or turn.request.id not in self._before:
                yield turn

    def goes_on(self, looks: int) -> bool:
        """Whether one more is tried in this transaction. looks: that it has taken."""
        self._cut = looks >= LOOKS or len(self._now) >= TRIED
        return not self._cut

    def tried(self, turn: Turn) -> None:
        self._now.append(turn.request.id)

    def end(self) -> None:
        """All are tried."""
        self._ended = True

    def sure(self) -> None:
        """The transaction is."""
        if self._ended:
            self._before.clear()
        elif self._cut or self._before:
            self._before.update(self._now)

    def again(self, ids: Iterable[str]) -> None:
        """These are to be tried once more in this round."""
        self._before.difference_update(ids)

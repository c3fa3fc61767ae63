"""Whose a node is, as devices saw it: who has acted on it under the newest fence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scenarios.runner.trace import Event
from scenarios.runner.verdict import Breach


class _Rank(NamedTuple):
    """Under which right a process acts; the greater came later.

    fence:   of the last time that the store gave the node to its host
    order:   of one that acts and was given nothing: it takes over, as far as devices can tell
    process: of one host's processes, which in turn
    """

    fence: int
    order: int
    process: int


@dataclass(frozen=True, slots=True)
class Reign:
    owner: str
    rank: _Rank
    since_s: float


class Reigns:
    """Of all nodes. A process that has been started anew is another one, and its host may be given the node
    anew, under a newer fence.

    Of the provisioner they know nothing but which host the store gave a node to, and under which fence.
    """

    def __init__(self, promise: str, did: str, had_done: str) -> None:
        """promise: the invariant that breaks. did, had_done: what a process did to a node, and another one
        before, in the words of its breach."""
        self._promise, self._did, self._had_done = promise, did, had_done
        self._reigns: dict[str, Reign] = {}  # of whoever has acted under the newest fence
        self._newest: dict[str, int] = {}
        self._rights: dict[tuple[str, str], tuple[int, int]] = {}  # node, host → fence, order
        self._strangers: dict[tuple[str, str], tuple[int, int]] = {}  # node, process → the same

    def given(self, event: Event) -> None:
        """The store has given a node to a host."""
        fence, owner = event.detail.get("fence", 0), event.detail["owner"]
        if fence > self._newest.get(event.node, 0):
            self._newest[event.node] = fence
            self._rights[(event.node, owner)] = (fence, 0)

    def broken_by(self, index: int, event: Event) -> tuple[Breach, ...]:
        """A process has acted on a node. One breach, if that node isn't the process's any more; or none."""
        reign, rank = self._reigns.get(event.node), self._rank(event.node, event.sender)
        if reign is None or rank > reign.rank:
            self._reigns[event.node] = Reign(event.sender, rank, event.t_s)
            return ()
        if event.sender == reign.owner:
            return ()
        breach = Breach(
            promise=self._promise,
            what=f"{event.sender} {self._did} {event.node} ({event.source} {event.name}) "
            f"after {reign.owner} had {self._had_done} at {reign.since_s:.1f} s",
            at_s=event.t_s,
            event=index,
        )
        return (breach,)

    def _rank(self, node: str, sender: str) -> _Rank:
        host, _, number = sender.partition("#")
        right = self._rights.get((node, host)) or self._strangers.get((node, sender))
        if right is None:
            reign = self._reigns.get(node)
            order = reign.rank.order + 1 if reign is not None else 0
            right = self._strangers[(node, sender)] = (self._newest.get(node, 0), order)
        return _Rank(*right, int(number or 1))

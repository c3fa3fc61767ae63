"""One owner at a time, as the devices saw it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from scenarios.runner.invariants.invariant import Look, writes
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

READING = ("chassis.status", "chassis.bootdev.get", "chassis.bootparam.get", "mc.info", "session.", "sol.")


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
class _Reign:
    owner: str
    rank: _Rank
    since_s: float


class OneOwner:
    """No command of host A after the first of host B under a newer fence: neither to the node's BMC, outlets,
    agent or monitor, nor to its disk. A process that has been started anew is another one, and its host may
    be given the node anew, under a newer fence.

    Of the provisioner it knows nothing but which host the store gave the node to, and under which fence.
    """

    name = "one_owner"
    sources: tuple[str, ...] = ("lease", "bmc", "pdu", "agent", "monitor", "iscsi")

    def __init__(self) -> None:
        self._reigns: dict[str, _Reign] = {}  # of whoever has acted under the newest fence
        self._newest: dict[str, int] = {}
        self._rights: dict[tuple[str, str], tuple[int, int]] = {}  # node, host → fence, order
        self._strangers: dict[tuple[str, str], tuple[int, int]] = {}  # node, process → the same

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        if event.source == "lease":
            self._given(event)
            return
        if event.origin is not Origin.DEVICE or not event.sender or not _acts(event):
            return
        reign, rank = self._reigns.get(event.node), self._rank(event.node, event.sender)
        if reign is None or rank > reign.rank:
            self._reigns[event.node] = _Reign(event.sender, rank, event.t_s)
        elif event.sender != reign.owner:
            yield Breach(
                promise=self.name,
                what=f"{event.sender} acted on {event.node} ({event.source} {event.name}) "
                f"after {reign.owner} had taken it over at {reign.since_s:.1f} s",
                at_s=event.t_s,
                event=index,
            )

    def _given(self, event: Event) -> None:
        fence, owner = event.detail.get("fence", 0), event.detail["owner"]
        if fence > self._newest.get(event.node, 0):
            self._newest[event.node] = fence
            self._rights[(event.node, owner)] = (fence, 0)

    def _rank(self, node: str, sender: str) -> _Rank:
        host, _, number = sender.partition("#")
        right = self._rights.get((node, host)) or self._strangers.get((node, sender))
        if right is None:
            reign = self._reigns.get(node)
            order = reign.rank.order + 1 if reign is not None else 0
            right = self._strangers[(node, sender)] = (self._newest.get(node, 0), order)
        return _Rank(*right, int(number or 1))

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        return ()


def _acts(event: Event) -> bool:
    """Whether the device was told to change something, and did what it was told."""
    if event.source == "bmc":
        return not event.name.startswith(READING) and event.detail.get("result") == "ok"
    if event.source == "pdu":
        return event.name.startswith("outlet.") and event.detail.get("result") == "ok"
    if event.source == "agent":
        return event.name == "command" and event.detail.get("result", "ok") == "ok"
    if event.source == "monitor":
        return event.name != "dmesg" and event.detail.get("result") == "ok"
    return writes(event)

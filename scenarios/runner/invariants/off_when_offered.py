"""A released node is off when it is offered again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from scenarios.runner.invariants.invariant import Look
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach

LATE_S = 10.0
"""On real machines, devices' logs are read so much later at most."""

ANSWER_S = 2.0
"""There a node counts as offered from when the API was asked, and the answer is younger."""

OFF = frozenset((("machine", "off"), ("bmc", "chassis.power.off")))
ON = frozenset(
    (
        ("machine", "on"),
        *(("bmc", f"chassis.power.{verb}") for verb in ("on", "cycle", "reset")),
        *(("pdu", f"outlet.{verb}") for verb in ("on", "reboot")),
        ("feed", "power.back"),
    )
)
NOT_GIVEN = ("requested", "deleted")
"""One that is deleted may never have come to its node."""

POWER = ("bmc.", "pdu.")
"""Faults of what switches nodes."""


class _Offered(NamedTuple):
    at_s: float
    node: str
    event: int


class OffWhenOffered:
    """Nothing of the provisioner's runs on it: seen by the last thing that the machine did, or that its BMC
    acknowledged. Of a node that a client has switched by hand since it was offered last, or whose BMC or PDU
    a fault has struck, nothing is said."""

    name = "off_when_offered"
    sources: tuple[str, ...] = ("machine", "bmc", "pdu", "feed", "fault", "client", "request", "node")

    def __init__(self) -> None:
        self._given: set[str] = set()  # nodes that some instance has had since they were offered
        self._switched: set[str] = set()  # nodes of which nothing is said
        self._seen: dict[str, list[tuple[float, bool]]] = {}  # of a node: when it went off, or on
        self._offered: deque[_Offered] = deque()

    def see(self, index: int, event: Event, look: Look) -> Iterable[Breach]:
        yield from self._looked_back(event.t_s - LATE_S)
        told, node = (event.source, event.name), event.node
        if event.origin is Origin.DEVICE:
            if (told in OFF or told in ON) and event.detail.get("result", "ok") == "ok":
                self._seen.setdefault(node, []).append((event.t_s, told in OFF))
            elif told == ("fault", "struck") and event.detail["fault"].startswith(POWER):
                self._switched.add(node)
        elif told == ("request", "power"):
            self._switched.add(node)
        elif told == ("client", "instance") and node and event.detail["state"] not in NOT_GIVEN:
            self._given.add(node)
        elif told == ("node", "state") and event.detail["state"] == "available" and node in self._given:
            self._given.discard(node)
            self._offered.append(_Offered(event.t_s, node, index))

    def end(self, now_s: float, look: Look) -> Iterable[Breach]:
        yield from self._looked_back(inf)

    def _looked_back(self, until_s: float) -> Iterable[Breach]:
        while self._offered and self._offered[0].at_s <= until_s:
            offered = self._offered.popleft()
            off = self._was_off(offered)
            if offered.node in self._switched:
                self._switched.discard(offered.node)
            elif not off:
                yield Breach(
                    promise=self.name,
                    what=f"{offered.node} is offered again, and it runs",
                    at_s=offered.at_s,
                    event=offered.event,
                )

    def _was_off(self, offered: _Offered) -> bool:
        seen = sorted(self._seen.get(offered.node, []))  # logs aren't read in the order of their times
        before = [one for one in seen if one[0] <= offered.at_s][-1:]
        after = [one for one in seen if one[0] > offered.at_s]
        self._seen[offered.node] = before + after
        meanwhile = any(off for t_s, off in after if t_s <= offered.at_s + ANSWER_S)
        return not before or before[0][1] or meanwhile

"""Whether the model and the machines tell the same story: the order of what devices saw, node by node."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

from provisioner.core.plan import PLANS
from scenarios.runner.trace import Event

STEP = "step "
ENDS = frozenset(f"{STEP}{plan.steps[-1].name}" for plan in PLANS.values())

OFF_BEFORE = {
    "bmc chassis.power.on": "bmc chassis.power.off",
    "pdu outlet.on": "pdu outlet.off",
}
OUTLET = "pdu outlet."
"""Of these the outlets follow, each with its PDU."""
CHANGING = ("chassis.power.", "chassis.bootdev.set")


def essence(trace: Iterable[Event], node: str) -> list[str]:
    """What both fidelities must agree on, in order: what led to each end, without what was tried in vain. How
    often a packet is sent again, and how many boots fit into the time that a fault lasts, is a matter of
    luck; what a boot and a deploy consist of is not."""
    story = _Path()
    # What real devices did is seen in the order in which their logs are read.
    seen = (_word(event) for event in sorted(trace, key=lambda event: event.t_s) if event.node == node)
    for word in _together(filter(None, seen)):
        story.went(word)
    return story.words


def _together(words: Iterable[str]) -> Iterator[str]:
    """Outlets that are told the same, one after the other, as one word: feeds are told at once, and which of
    them hears it first is a matter of luck."""
    for told, group in groupby(words, key=_told):
        yield _joined(told, group) if told.startswith(OUTLET) else told


def _told(word: str) -> str:
    """Without the outlets that it was told to."""
    return " ".join(word.split()[:2]) if word.startswith(OUTLET) else word


def _outlets(word: str) -> frozenset[str]:
    return frozenset(word.split()[2:]) if word.startswith(OUTLET) else frozenset()


def _joined(told: str, words: Iterable[str]) -> str:
    return " ".join((told, *sorted(frozenset[str]().union(*map(_outlets, words)))))


class _Path:
    """Where a node came by, with its detours cut off: who comes by a place again has been there once. A step
    that is done again cuts what came after it the first time; anything else only what came since the last
    step, for one deploy boots twice. What has come to its end is done with."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._plan = self._step = 0  # where the plan, and the step in hand, begin

    def went(self, word: str) -> None:
        a_step = word.startswith(STEP)
        since = self._plan if a_step else self._step
        last = self.words[-1] if self.words[since:] else ""
        if _told(last) == OFF_BEFORE.get(_told(word)) and _outlets(word) <= _outlets(last):
            self.words.pop()  # one that was on already, from an attempt before, goes off to go on
        before = next(
            (at for at in range(since, len(self.words)) if _told(self.words[at]) == _told(word)), None
        )
        if before is not None:
            if word.startswith(OUTLET):  # what an attempt told to one of two feeds, the next tells to both
                self.words[before] = _joined(_told(word), (self.words[before], word))
            del self.words[before + 1 :]
        else:
            self.words.append(word)
        if a_step:
            self._step = len(self.words)
        if word in ENDS:
            self._plan = self._step


def _word(event: Event) -> str:
    detail = event.detail
    match event.source:
        case "bmc" if event.name.startswith(CHANGING) and detail.get("result") == "ok":
            device = f" {detail['device']}" if "device" in detail else ""
            return f"bmc {event.name}{device}"
        case "pdu" if event.name.startswith("outlet.") and detail.get("result") == "ok":
            return f"pdu {event.name} {detail['pdu']}/{detail['outlet']}"
        case "dhcp" if event.name == "ack":
            return f"dhcp {_client(str(detail.get('client', '')))}"
        # When it was asked for. Whether all of it came is seen by the last acknowledgement, and a loader that
        # has what it wants is gone without one.
        case "tftp" | "http" if event.name in ("read", "get", "head"):
            # Without the folder: that of a board of tilepro64 is called by its node's id, which is drawn.
            return f"{event.source} {str(detail.get('file', '')).rpartition('/')[2]}"
        case "step" if event.name == "step.done":
            return f"{STEP}{detail.get('step', '')}"
    return ""


def _client(client: str) -> str:
    """Without architecture and version: PXEClient:Arch:00000:UNDI:002001, udhcp 1.35.0."""
    return client.partition(":")[0].partition(" ")[0]


def differences(model: Sequence[str], machine: Sequence[str]) -> list[str]:
    """Lines of a diff, "-" for what the model alone tells and "+" for what the machines alone tell."""
    lines = difflib.unified_diff(model, machine, "model", "machine", lineterm="", n=0)
    return [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]


class Excuse(Protocol):
    """`parts.DiffersPart`. line: of `differences`, that was written down with a reason; it excuses one such
    line. node: None: of each node."""

    @property
    def line(self) -> str: ...
    @property
    def node(self) -> str | None: ...


def disagreements(
    model: Iterable[Event], machine: Iterable[Event], nodes: Iterable[str], excuses: Sequence[Excuse]
) -> list[str]:
    """A sentence for each node of which they tell different stories, and for each excuse that excuses
    nothing: it would excuse what nobody has looked at."""
    model, machine, told, used = list(model), list(machine), [], set[int]()
    for node in nodes:
        lines = differences(essence(model, node), essence(machine, node))
        for place, excuse in enumerate(excuses):
            if excuse.node in (None, node) and excuse.line in lines:
                lines.remove(excuse.line)
                used.add(place)
        if lines:
            listed = "; ".join(f"{WHOSE[line[0]]} alone: {line[1:]}" for line in lines)
            told.append(
                f"model and machine tell different stories of {node}: {listed}. Mend the model, or write it "
                "down in the scenario's `differs`, with the reason, once for each time"
            )
    told += (
        f"the scenario's `differs` says that {WHOSE[excuse.line[0]]} alone tells {excuse.line[1:]!r}"
        f"{f' of {excuse.node}' if excuse.node else ''}, and that is not so (any more): leave it out"
        for place, excuse in enumerate(excuses)
        if place not in used
    )
    return told


WHOSE = {"-": "the model", "+": "the machine"}

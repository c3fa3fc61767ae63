"""How requests for power end: what must have been switched, and when one may fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from provisioner.api.node_orders import MOST_PENDING
from scenarios.runner.story import Power, StoryNode
from scenarios.runner.trace import Event, Origin, Trace

CUTS = frozenset(
    (
        *(("bmc", f"chassis.power.{verb}") for verb in ("off", "cycle", "reset")),
        *(("pdu", f"outlet.{verb}") for verb in ("off", "reboot")),
    )
)
"""Commands by which a machine begins anew, or ends."""

BEGINS = frozenset(
    (
        *(("bmc", f"chassis.power.{verb}") for verb in ("on", "cycle", "reset")),
        *(("pdu", f"outlet.{verb}") for verb in ("on", "reboot")),
    )
)
"""Commands by which a machine is on afterwards."""

SOFT = ("bmc", "chassis.power.soft")
MACHINE = (("machine", "on"), ("machine", "off"))
SOON_S = 5.0
RESTING = ("available", "active", "deploy_failed", "clean_failed", "enrol_failed")
"""States of a node that has no work: any other one has, which no request for power may disturb."""

LASTING = ("bmc.", "pdu.", "net.", "host.partition", "node.power_loss")
"""Faults that a device, or the way to it, has until they are healed."""

OF_RUNNING = ("cycle", "reset", "soft")
"""What a BMC refuses to do with a machine that is off. IPMI 2.0 §28.3: 0xD5."""


@dataclass(slots=True)
class _Seen:
    """Of one node, from a request for power until its answer.

    machine: "on", "off"; node: its states. Each as it was at first, and what it became
    soon: what the machine became soon after: a real one starts a moment after its outlet
    commands: what its devices did
    struck: some fault did something to it, or to the way to it, or had before and hadn't healed
    answer: what the client was told
    """

    machine: list[str] = field(default_factory=lambda: ["off"])
    soon: list[str] = field(default_factory=list)
    node: list[str] = field(default_factory=lambda: [""])
    commands: set[tuple[str, str]] = field(default_factory=set)
    struck: bool = False
    answer: str = ""


class Switched(NamedTuple):
    """A request for power that has ended. label: what it is called in verdicts; how: what the client was
    told: done, failed, refused"""

    label: str
    request: Power
    asked_s: float
    ended_s: float
    how: str


def wrong_end(node: StoryNode, trace: Trace, one: Switched, others: Sequence[Switched]) -> str:
    """Empty: it ended as it may. One that is done has switched the machine, as its devices saw it; one that
    isn't was asked for a node that had work then, or for a machine that was off, or as one too many. What
    struck the node meanwhile, or before and hadn't healed, excuses either, and so does an outlet that was to
    be off softly.

    others: all of the story. What is asked for while it is being done is the same request.
    """
    request, how = one.request, one.how
    # Which of them came first is open where a database was away.
    waiting = [
        it
        for it in others
        if it.request.node == node.name and it.asked_s <= one.ended_s and one.asked_s <= it.ended_s
    ]
    begun_s = min((it.asked_s for it in waiting if it.request.verb == request.verb), default=one.asked_s)
    seen = _seen(trace, request, begun_s, one.ended_s)
    if seen.struck or (request.verb == "soft" and node.feeds):
        return ""
    if how != "done":
        worked = any(state not in RESTING for state in seen.node)
        was_off = request.verb in OF_RUNNING and "off" in seen.machine
        too_many = how == "refused" and len(waiting) > MOST_PENDING  # it waits itself
        return "" if worked or was_off or too_many else f"{how}, and nothing was in its way: {seen.answer}"
    return _not_done(request.verb, seen) or (_otherwise(request.verb, seen) if len(waiting) == 1 else "")


def _not_done(verb: str, seen: _Seen) -> str:
    """Of one that the client was told to be done."""
    match verb:
        case "on" | "off" if verb not in seen.machine:
            return f"done, and the machine was never {verb}"
        case "soft" if SOFT not in seen.commands and "off" not in seen.machine:
            return "done, and its BMC was never told"
        case "cycle" | "reset" if "on" not in seen.machine:
            return "done, and the machine was never on"
        case "cycle" | "reset" if seen.commands.isdisjoint(CUTS) and "off" not in seen.machine:
            return "done, and no device was told to cut the power"
    return ""


def _otherwise(verb: str, seen: _Seen) -> str:
    """What else was done than was asked for. Nobody asked for anything else; had the node work, it may be."""
    if any(state not in RESTING for state in seen.node):
        return ""
    last, ends = seen.machine[-1], "off" if verb == "off" else "on"
    if verb != "soft" and ends not in (last, *seen.soon):
        return f"done, and left the machine {last}"
    wrong = {"on": CUTS, "soft": CUTS, "off": BEGINS}.get(verb, frozenset())
    if told := sorted(name for _, name in seen.commands & wrong):
        return f"done, and its devices were told {', '.join(told)}"
    return ""


def _seen(trace: Trace, request: Power, asked_s: float, ended_s: float) -> _Seen:
    seen, begun, in_force = _Seen(), False, set[str]()
    for event in _about(trace, request.node):
        told = event.source, event.name
        if event.t_s > ended_s:
            if told in MACHINE and event.t_s <= ended_s + SOON_S:
                seen.soon.append(event.name)
            continue
        if not begun and told == ("request", "power") and _is_of(event, request, asked_s):
            begun, seen.struck = True, bool(in_force)
        # In a model much happens at one moment; on machines devices are heard of a moment later.
        ours, of_device = begun and event.t_s >= asked_s, event.origin is Origin.DEVICE
        if of_device and told in MACHINE:
            seen.machine = [*(seen.machine if ours else ()), event.name]
        elif told == ("node", "state"):
            seen.node = [*(seen.node if ours else ()), event.detail["state"]]
        elif told == ("fault", "healed"):
            in_force.discard(event.detail["fault"])
        elif told == ("fault", "struck"):
            if event.detail["fault"].startswith(LASTING):
                in_force.add(event.detail["fault"])
            seen.struck = seen.struck or ours
        elif ours and told == ("client", "power"):
            seen.answer = str(event.detail["answer"])
        elif ours and of_device and event.detail.get("result") == "ok":
            seen.commands.add(told)
    return seen


def _is_of(event: Event, request: Power, asked_s: float) -> bool:
    return event.t_s >= asked_s and event.detail["verb"] == request.verb


def _about(trace: Trace, node: str) -> Iterator[Event]:
    """Also what befalls the way from a host to a PDU, which has no node's name."""
    for event in trace:
        cut_off = event.source == "fault" and event.detail["fault"] == "host.partition"
        if event.node == node or (cut_off and event.name in ("struck", "healed")):
            yield event

"""How requests for power end: what must have been switched, and when one may fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from scenarios.runner.story import Power, StoryNode
from scenarios.runner.trace import Event, Origin, Trace

CUTS = frozenset(
    (
        *(("bmc", f"chassis.power.{verb}") for verb in ("off", "cycle", "reset")),
        *(("pdu", f"outlet.{verb}") for verb in ("off", "reboot")),
    )
)
"""Commands by which a machine begins anew, or ends."""

SOFT = ("bmc", "chassis.power.soft")
RESTING = ("available", "active", "deploy_failed", "clean_failed", "enrol_failed")
"""States of a node that has no work: any other one has, which no request for power may disturb."""

OF_RUNNING = ("cycle", "reset", "soft")
"""What a BMC refuses to do with a machine that is off. IPMI 2.0 §28.3: 0xD5."""


@dataclass(slots=True)
class _Seen:
    """Of one node, from a request for power until its answer.

    machine: "on", "off"; node: its states. Each as it was at first, and what it became
    commands: what its devices did
    struck: some fault did something to it, or to the way to it
    answer: what the client was told
    """

    machine: list[str] = field(default_factory=lambda: ["off"])
    node: list[str] = field(default_factory=lambda: [""])
    commands: set[tuple[str, str]] = field(default_factory=set)
    struck: bool = False
    answer: str = ""


def wrong_end(node: StoryNode, trace: Trace, request: Power, asked_s: float, ended_s: float, how: str) -> str:
    """Empty: it ended as it may. One that is done has switched the machine, as its devices saw it; one that
    isn't was asked for a node that had work then, or for a machine that was off. What struck the node
    meanwhile excuses either, and so does an outlet that was to be off softly.

    how: what the client was told: done, failed, refused
    """
    seen = _seen(trace, request, asked_s, ended_s)
    if seen.struck or (request.verb == "soft" and node.feeds):
        return ""
    if how != "done":
        worked = any(state not in RESTING for state in seen.node)
        was_off = request.verb in OF_RUNNING and "off" in seen.machine
        return "" if worked or was_off else f"{how}, and nothing was in its way: {seen.answer}"
    match request.verb:
        case "on" | "off" if request.verb not in seen.machine:
            return f"done, and the machine was never {request.verb}"
        case "soft" if SOFT not in seen.commands and seen.machine[0] == "on":
            return "done, and its BMC was never told"
        case "cycle" | "reset" if "on" not in seen.machine:
            return "done, and the machine was never on"
        case "cycle" | "reset" if seen.commands.isdisjoint(CUTS) and "off" not in seen.machine:
            return "done, and no device was told to cut the power"
    return ""


def _seen(trace: Trace, request: Power, asked_s: float, ended_s: float) -> _Seen:
    seen, begun = _Seen(), False
    for event in _about(trace, request.node):
        if event.t_s > ended_s:
            continue
        told = event.source, event.name
        begun = begun or (told == ("request", "power") and _is_of(event, request, asked_s))
        # In a model much happens at one moment; on machines devices are heard of a moment later.
        ours, of_device = begun and event.t_s >= asked_s, event.origin is Origin.DEVICE
        if of_device and told in (("machine", "on"), ("machine", "off")):
            seen.machine = [*(seen.machine if ours else ()), event.name]
        elif told == ("node", "state"):
            seen.node = [*(seen.node if ours else ()), event.detail["state"]]
        elif ours and told == ("fault", "struck"):
            seen.struck = True
        elif ours and told == ("client", "power"):
            seen.answer = str(event.detail["answer"])
        elif ours and of_device and event.detail.get("result") == "ok":
            seen.commands.add(told)
    return seen


def _is_of(event: Event, request: Power, asked_s: float) -> bool:
    return event.t_s >= asked_s and event.detail["verb"] == request.verb


def _about(trace: Trace, node: str) -> Iterator[Event]:
    """Also what befalls the way from a host to a PDU, which has no node's name."""
    cut_off = ("fault", "struck", "host.partition")
    for event in trace:
        if event.node == node or (event.source, event.name, event.detail.get("fault")) == cut_off:
            yield event

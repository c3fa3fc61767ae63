"""Whether the model and the machines tell the same story: the order of what devices saw, node by node."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

from scenarios.runner.trace import Event

CHANGING = ("chassis.power.", "chassis.bootdev.set")


def essence(trace: Iterable[Event], node: str) -> list[str]:
    """What both fidelities must agree on, in order. The same thing several times in a row counts once: how
    often a packet is sent again is a matter of luck."""
    words: list[str] = []
    # What real devices did is seen in the order in which their logs are read.
    for event in sorted(trace, key=lambda event: event.t_s):
        word = _word(event) if event.node == node else ""
        if word and (not words or words[-1] != word):
            words.append(word)
    return words


def _word(event: Event) -> str:
    detail = event.detail
    match event.source:
        case "bmc" if event.name.startswith(CHANGING) and detail.get("result") == "ok":
            device = f" {detail['device']}" if "device" in detail else ""
            return f"bmc {event.name}{device}"
        case "dhcp" if event.name == "ack":
            return f"dhcp {_client(str(detail.get('client', '')))}"
        # When it was asked for. Whether all of it came is seen by the last acknowledgement, and a loader that
        # has what it wants is gone without one.
        case "tftp" | "http" if event.name in ("read", "get", "head"):
            return f"{event.source} {detail.get('file', '')}"
        case "step" if event.name == "step.done":
            return f"step {detail.get('step', '')}"
    return ""


def _client(client: str) -> str:
    """Without architecture and version: PXEClient:Arch:00000:UNDI:002001, udhcp 1.35.0."""
    return client.partition(":")[0].partition(" ")[0]


def differences(model: Sequence[str], machine: Sequence[str], excused: Iterable[str] = ()) -> list[str]:
    """Lines of a diff, "-" for what the model alone tells and "+" for what the machines alone tell. excused:
    such lines that were written down with a reason."""
    lines = difflib.unified_diff(model, machine, "model", "machine", lineterm="", n=0)
    told = [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    allowed = set(excused)
    return [line for line in told if line not in allowed]


def disagreements(
    model: Iterable[Event],
    machine: Iterable[Event],
    nodes: Iterable[str],
    excused: Callable[[str], Iterable[str]],
) -> list[str]:
    """A sentence for each node of which they tell different stories. excused(node): as in `differences`."""
    model, machine, told = list(model), list(machine), []
    for node in nodes:
        lines = differences(essence(model, node), essence(machine, node), excused(node))
        if lines:
            listed = "; ".join(f"{WHOSE[line[0]]} alone: {line[1:]}" for line in lines)
            told.append(
                f"model and machine tell different stories of {node}: {listed}. Mend the model, or write it "
                "down in the scenario's `differs`, with the reason"
            )
    return told


WHOSE = {"-": "the model", "+": "the machine"}

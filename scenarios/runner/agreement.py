"""Whether the model and the machines tell the same story: the order of what devices saw, node by node."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from scenarios.runner.trace import Event

CHANGING = ("chassis.power.", "chassis.bootdev.set")


def essence(trace: Iterable[Event], node: str) -> list[str]:
    """What both fidelities must agree on, in order. The same thing several times in a row counts once: how
    often a packet is sent again is a matter of luck."""
    words: list[str] = []
    for event in trace:
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
        case "tftp" | "http" if event.name == "sent":
            return f"{event.source} {detail.get('file', '')}"
        case "step" if event.name == "step.done":
            return f"step {detail.get('step', '')}"
    return ""


def _client(client: str) -> str:
    """Firmware calls itself by its architecture and version: PXEClient:Arch:00000:UNDI:002001."""
    return client.partition(":")[0]


def differences(model: Sequence[str], machine: Sequence[str], excused: Iterable[str] = ()) -> list[str]:
    """Lines of a diff, "-" for what the model alone tells and "+" for what the machines alone tell. excused:
    such lines that were written down with a reason."""
    lines = difflib.unified_diff(model, machine, "model", "machine", lineterm="", n=0)
    told = [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    allowed = set(excused)
    return [line for line in told if line not in allowed]

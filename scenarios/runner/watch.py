"""A story as it goes on: what each compute host does in a column of its own, what befalls them beside it."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from scenarios.runner.invariants.one_owner import READING
from scenarios.runner.trace import Event, Origin

RACK = "rack"
"""The column of what no compute host does: machines, faults, and what the client is told."""

TIME_WIDTH = 9
LEAST_WIDTH = 12  # three hosts and the rack fit in 80 columns
MOST_WIDTH = 60
STYLES = {"fault": "bold red", "host": "bold red", "lease": "bold cyan", "client": "bold green"}

_QUIET: Mapping[str, tuple[str, ...]] = {
    "node": ("state",),  # its steps tell more
    "instance": ("state",),  # the client is told the same
    "agent": ("command",),
    "dhcp": ("discover", "request", "ack"),
    "http": ("get", "post"),
}


class SideBySide:
    """Called with each event. hosts: of the rack, a column each."""

    def __init__(self, out: Console, hosts: Sequence[str]) -> None:
        self._out = out
        self._columns = (*hosts, RACK)
        # As wide as the terminal, read now: a terminal that is made narrower wraps what was written.
        room = shutil.get_terminal_size((120, 24)).columns - TIME_WIDTH - 3 * len(self._columns)
        self._width = max(LEAST_WIDTH, min(MOST_WIDTH, room // len(self._columns)))
        self._owners: dict[str, str] = {}
        self._done: dict[str, list[str]] = {host: [] for host in hosts}
        self._row("", {column: column for column in self._columns}, "bold")
        self._row("", dict.fromkeys(self._columns, "─" * self._width), "")

    def __call__(self, event: Event) -> None:
        told = _told(event)
        if event.source == "lease":
            told = self._owner_changes(event)
        if not told:
            return
        column = self._column(event)
        if event.source == "step" and event.name == "step.done" and column in self._done:
            self._done[column].append(str(event.detail.get("step")))
        text = f"{event.node} {told}" if event.node else told
        self._row(f"{event.t_s:7.1f} s", {column: text}, STYLES.get(event.source, ""))

    def end(self) -> None:
        """What each host has done."""
        self._out.print()
        for host, steps in self._done.items():
            self._out.print(f"{host}: {', '.join(steps) or 'no step'}", soft_wrap=True, markup=False)

    def _column(self, event: Event) -> str:
        """Whose doing it is. A process that was started again is called HOST#N."""
        host = event.sender or str(event.detail.get("host") or "")
        if event.source in ("step", "agent") and event.origin is Origin.PROVISIONER:
            host = self._owners.get(event.node, "")
        elif event.source == "lease":
            host = str(event.detail["owner"]) or self._owners.get(event.node, "")
        host = host.partition("#")[0]
        return host if host in self._columns else RACK

    def _owner_changes(self, event: Event) -> str:
        owner, before = str(event.detail["owner"]), self._owners.get(event.node, "")
        if not owner:
            return "is given up" if before else ""
        self._owners[event.node] = owner
        taken = f", taken over from {before}" if before and before != owner else ""
        return f"is owned, fence {event.detail.get('fence')}{taken}" if owner != before else ""

    def _row(self, time: str, cells: Mapping[str, str], style: str) -> None:
        wrapped = {column: textwrap.wrap(text, self._width) for column, text in cells.items()}
        for line in range(max(map(len, wrapped.values()))):
            row = [f"{time if line == 0 else '':>{TIME_WIDTH}}"]
            for column in self._columns:
                lines = wrapped.get(column, [])
                text = lines[line] if line < len(lines) else ""
                padded = escape(f"{text:<{self._width}}")
                row.append(f"[{style}]{padded}[/]" if style and text else padded)
            self._out.print(" │ ".join(row).rstrip(), soft_wrap=True)


def _told(event: Event) -> str:
    """In few words; empty: it isn't shown."""
    if event.name in _QUIET.get(event.source, ()):
        return ""
    detail = event.detail
    match event.source:
        case "step":
            verb = event.name.removeprefix("step.")
            text = f": {detail['text']}" if detail.get("text") and verb != "started" else ""
            return "" if verb == "waiting" else f"{detail.get('step')} {verb}{text}"
        case "bmc" | "pdu":
            read = event.name.startswith((*READING, "raw.")) or detail.get("result") != "ok"
            return "" if read else f"{event.source} {event.name}"
        case "fault":
            return "" if event.name == "struck" else f"fault {detail.get('fault')} {event.name}"
        case "client":
            return f"client: {detail.get('instance', 'node')} is {detail.get('state')}"
        case "request":
            return f"request: {event.name} {detail.get('instance', '')}".rstrip()
        case "host":
            return f"process {event.name}"
        case "lease":
            return ""
    what = detail.get("file") if event.source in ("http", "tftp") else ""
    return f"{event.source} {event.name} {what or ''}".rstrip()

"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

STATE_STYLES = {
    "active": "green",
    "available": "green",
    "on": "green",
    "done": "green",
    "error": "red",
    "deploy_failed": "red",
    "clean_failed": "red",
    "enrol_failed": "red",
    "failed": "red",
    "unknown": "yellow",
    "serving": "green",
    "draining": "yellow",
    "leaving": "yellow",
    "gone": "red",
}


@dataclass(slots=True)
class Output:
    """as_json: nothing but JSON goes to standard output."""

    as_json: bool = False
    console: Console = field(default_factory=lambda: console_on(sys.stdout))
    errors: Console = field(default_factory=lambda: console_on(sys.stderr))

    @property
    def people(self) -> Console:
        """Where people read: standard error when standard output is JSON."""
        return self.errors if self.as_json else self.console

    def record(self, data: Mapping[str, Any], names: Sequence[str]) -> None:
        """One thing: all of it as JSON, or the named fields."""
        if self.as_json:
            self.json(data)
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name in names:
            value = data.get(name)
            if value not in (None, "", [], {}):
                table.add_row(f"[dim]{name}[/]", cell(name, value))
        self.console.print(table)

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        """columns: field → heading."""
        listed = list(rows)
        if self.as_json:
            self.json(listed)
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in columns.values():
            table.add_column(heading, overflow="fold")
        for row in listed:
            table.add_row(*(cell(name, row.get(name)) for name in columns))
        self.console.print(table if listed else "[dim]none[/]")

    def json(self, data: Any) -> None:
        sys.stdout.write(json.dumps(data, indent=2) + "\n")

    def say(self, text: str) -> None:
        """For people only."""
        self.people.print(text)


def console_on(stream: TextIO) -> Console:
    """On a terminal as wide as it is; elsewhere nothing is cut or wrapped, so that lines can be searched."""
    wide = None if stream.isatty() or "COLUMNS" in os.environ else 10_000
    return Console(file=stream, highlight=False, width=wide)


def cell(name: str, value: Any) -> str:
    """A value as text, states in their colours."""
    if value is None:
        return ""
    if name in ("state", "power_state"):
        return f"[{STATE_STYLES.get(str(value), 'default')}]{value}[/]"
    if name.endswith("_at"):
        return moment(str(value))
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return ", ".join(cell("", item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell('', item)}" for key, item in value.items() if item not in (None, ""))
    return escape(str(value))


def moment(at: str) -> str:
    """Local time."""
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(at: str) -> str:
    """Local time, without the day."""
    return datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S")


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()

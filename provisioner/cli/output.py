"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
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
}


@dataclass(slots=True)
class Output:
    """as_json: nothing but JSON goes to standard output."""

    as_json: bool = False
    console: Console = field(default_factory=lambda: Console(highlight=False))
    errors: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def record(self, data: Mapping[str, Any], names: Sequence[str]) -> None:
        """One thing: all of it as JSON, or the named fields."""
        if self.as_json:
            self.json(data)
            return
        table = Table(box=None, show_header=False, pad_edge=False)
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
        """For people only; to standard error when standard output is JSON."""
        (self.errors if self.as_json else self.console).print(text)


def cell(name: str, value: Any) -> str:
    """A value as text, states in their colours."""
    if value is None:
        return ""
    if name in ("state", "power_state"):
        return f"[{STATE_STYLES.get(str(value), 'default')}]{value}[/]"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return ", ".join(cell("", item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell('', item)}" for key, item in value.items() if item not in (None, ""))
    return str(value).replace("[", "\\[")


def clock(moment: str) -> str:
    """HH:MM:SS, local time."""
    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()

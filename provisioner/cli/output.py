"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

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


EPOCH = "1970-01-01T00:00:00"

GAP = 2  # between columns
LEGIBLE = 30
"""What a long text is folded to at least before a spare column is left out for it."""

PARTS = re.compile(r"\d+|\D+")


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

    def table(
        self, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], spare: Sequence[str] = ()
    ) -> None:
        """columns: field → heading. spare: those that a narrow terminal does without, the first one first."""
        listed = list(rows)
        if self.as_json:
            self.json(listed)
            return
        if not listed:
            self.console.print("[dim]none[/]")
            return
        cells = {name: [cell(name, row.get(name)) for row in listed] for name in columns}
        shown = _fitting(cells, columns, spare, self.console.width)
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in shown:
            table.add_column(columns[name], overflow="fold")
        for row in zip(*(cells[name] for name in shown), strict=True):
            table.add_row(*row)
        self.console.print(table)
        if left_out := [columns[name] for name in columns if name not in shown]:
            self.errors.print(f"[dim]no room for {', '.join(left_out)}: widen the terminal, or use --json[/]")

    def json(self, data: Any) -> None:
        sys.stdout.write(json.dumps(data, indent=2) + "\n")

    def tell(self, data: Any, text: str) -> None:
        """What was done: as JSON, or in words."""
        self.json(data) if self.as_json else self.say(text)

    def say(self, text: str) -> None:
        """For people only."""
        self.people.print(text)


def _fitting(
    cells: Mapping[str, Sequence[str]], columns: Mapping[str, str], spare: Sequence[str], width: int
) -> list[str]:
    """The columns without as many of the spare ones as it takes."""
    needed = {
        name: max(
            cell_len(columns[name]), min(LEGIBLE, max(Text.from_markup(text).cell_len for text in found))
        )
        for name, found in cells.items()
    }
    shown = list(columns)
    for name in spare:
        if sum(needed[one] + GAP for one in shown) - GAP <= width:
            break
        shown.remove(name)
    return shown


def by_name(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """As people count: n2 before n10. The API's order is by ids, which say nothing to them."""

    def counted(row: Mapping[str, Any]) -> list[tuple[bool, int, str]]:
        parts = PARTS.findall(row["name"])
        return [(False, int(part), part) if part.isdecimal() else (True, 0, part) for part in parts]

    return sorted(rows, key=counted)


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
    if name == "at" or name.endswith("_at"):
        # What was there before anybody noted since when.
        return "" if str(value).startswith(EPOCH) else moment(str(value))
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

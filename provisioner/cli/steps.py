"""The steps of a deploy or a cleaning, as they stand in the timeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from provisioner.cli.output import clock, seconds_between

NAME_WIDTH = 21  # of the longest step's name; fixed, so that rows shown one by one stand in line
TOOK_WIDTH = 8
BAR_WIDTH = 24

MARKS = {"done": ("✓", "green"), "running": ("●", "cyan"), "retry": ("↻", "yellow"), "failed": ("✗", "red")}


@dataclass(slots=True)
class StepRow:
    name: str
    state: str  # done | running | retry | failed
    started_at: str
    ended_at: str = ""
    text: str = ""

    def took_s(self, now: str) -> float:
        return seconds_between(self.started_at, self.ended_at or now)


def rows_of(events: Iterable[dict[str, Any]]) -> list[StepRow]:
    """One row per time that a step was entered, in order."""
    rows: list[StepRow] = []
    for event in events:
        name, step = event["name"], event["step"]
        if name in ("step.started", "step.resumed"):
            if rows and rows[-1].state == "running":
                rows[-1].state, rows[-1].ended_at = "retry", event["at"]
            rows.append(StepRow(step, "running", event["at"], text=event["text"]))
        elif name == "step.waiting" and rows:
            rows[-1].text = f"waiting for {event['text']}"
        elif name in ("step.done", "step.retry", "step.failed") and rows and rows[-1].name == step:
            rows[-1].state = name.removeprefix("step.")
            rows[-1].ended_at, rows[-1].text = event["at"], event["text"]
    return rows


def table_of(rows: Iterable[StepRow], now: str, progress: float | None = None) -> Table:
    """As people read it: mark, step, seconds, what was proven."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True, min_width=NAME_WIDTH)
    table.add_column(no_wrap=True, justify="right", min_width=TOOK_WIDTH)
    table.add_column(overflow="fold")
    for row in rows:
        mark, style = MARKS[row.state]
        text = row.text
        if row.state == "running" and progress is not None:
            filled = round(progress * BAR_WIDTH)
            text = f"{'━' * filled}{'─' * (BAR_WIDTH - filled)} {progress:4.0%}  {text}"
        table.add_row(
            Text(mark, style),
            Text(row.name, "bold" if row.state == "running" else ""),
            Text(f"{row.took_s(now):.1f} s", "dim"),
            Text(text, "" if row.state == "failed" else "dim"),
        )
    return table


def timeline_of(events: Iterable[dict[str, Any]]) -> Table:
    """Every event, by whom it was seen."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("time", "seen by", "event", ""):
        table.add_column(heading, no_wrap=heading != "", overflow="fold")
    for event in events:
        step = f"[cyan]{event['step']}[/] " if event["step"] else ""
        table.add_row(clock(event["at"]), event["source"], event["name"], f"{step}{escape(event['text'])}")
    return table

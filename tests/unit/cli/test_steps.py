from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from provisioner.cli.output import Output, cell, console_on, seconds_between
from provisioner.cli.steps import rows_of, table_of, timeline_of
from provisioner.cli.watching import StepsShown

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> str:
    return (BEGUN + timedelta(seconds=second)).isoformat()


def events(*told: tuple[float, str, str, str]) -> list[dict[str, Any]]:
    return [
        {"id": number, "at": at(second), "name": name, "step": step, "text": text, "source": "controller"}
        for number, (second, name, step, text) in enumerate(told, start=1)
    ]


def shown(rows: Any, width: int = 200) -> str:
    out = StringIO()
    Console(file=out, width=width, highlight=False).print(rows)
    return out.getvalue()


DEPLOY = events(
    (0, "node.claimed", "", "web got n1"),
    (1, "step.started", "power_on", ""),
    (3, "step.done", "power_on", "power is on"),
    (3, "step.started", "write_image", ""),
    (4, "http.sent", "", "kernel"),
    (9, "step.retry", "write_image", "the connection was cut"),
    (9, "step.started", "write_image", ""),
)


def test_a_row_stands_for_each_time_that_a_step_was_entered() -> None:
    rows = rows_of(DEPLOY)
    assert [(row.name, row.state) for row in rows] == [
        ("power_on", "done"),
        ("write_image", "retry"),
        ("write_image", "running"),
    ]
    assert [row.took_s(at(14)) for row in rows] == [2, 6, 5]


def test_a_step_that_is_resumed_ends_the_row_of_the_process_that_died() -> None:
    rows = rows_of([*DEPLOY, *events((20, "step.resumed", "write_image", "by another process"))])
    assert [row.state for row in rows] == ["done", "retry", "retry", "running"]


def test_a_step_that_waits_says_for_what_and_a_failed_one_why() -> None:
    rows = rows_of(
        events(
            (0, "step.started", "agent_ready", ""),
            (1, "step.waiting", "agent_ready", "the agent to report"),
        )
    )
    assert rows[0].text == "waiting for the agent to report"
    rows = rows_of(
        events((0, "step.started", "agent_ready", ""), (9, "step.failed", "agent_ready", "no DHCP request"))
    )
    assert (rows[0].state, rows[0].text) == ("failed", "no DHCP request")


def test_progress_is_drawn_for_the_running_step_alone() -> None:
    text = shown(table_of(rows_of(DEPLOY), at(14), 0.5))
    assert text.count("50%") == 1
    assert "━━━━━━━━━━━━────────────  50%" in text.splitlines()[-1]


def test_what_machines_say_is_no_markup() -> None:
    text = "[red]boot[/red] [/] [link=http://x]y"
    assert text in shown(table_of(rows_of(events((0, "step.started", "power_on", text))), at(0)))
    assert text in shown(timeline_of(events((0, "console.said", "", text))))
    assert shown(cell("text", text)).strip() == text


def test_nothing_is_cut_or_coloured_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    out = StringIO()
    output = Output(console=console_on(out), errors=console_on(StringIO()))
    output.table([{"name": "x" * 300, "state": "active"}], {"name": "name", "state": "state"})
    output.record({"sha256": "ab" * 200}, ("sha256",))
    assert "x" * 300 + "  active" in out.getvalue()
    assert "ab" * 200 in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_steps_are_told_once_each_as_they_end_and_never_on_standard_output_with_json() -> None:
    said, json_only, errors = StringIO(), StringIO(), StringIO()
    for output in (
        Output(console=console_on(said), errors=console_on(StringIO())),
        Output(as_json=True, console=console_on(json_only), errors=console_on(errors)),
    ):
        waiting = list(DEPLOY)

        def read(after: int, waiting: list[dict[str, Any]] = waiting) -> list[dict[str, Any]]:
            """One event at a time, as slow as can be."""
            return [event for event in waiting if event["id"] > after][:1]

        with StepsShown(output, read) as steps:
            for _ in range(len(DEPLOY) + 3):
                steps.update(None)
            for _ in range(2):
                steps.note("waiting: no node fits")
    for text in (said.getvalue(), errors.getvalue()):
        assert [line.split()[1] for line in text.splitlines()] == ["power_on", "write_image", "waiting:"]
    assert json_only.getvalue() == ""


def test_on_a_terminal_the_running_step_is_drawn_below_those_that_ended() -> None:
    out = StringIO()
    terminal = Console(file=out, force_terminal=True, width=100, highlight=False, color_system=None)
    with StepsShown(Output(console=terminal), lambda after: DEPLOY[after:]) as steps:
        steps.update(0.25)
    text = out.getvalue()
    assert text.index("power is on") < text.index("connection was cut") < text.index("25%")


def test_steps_before_the_one_asked_for_are_not_told() -> None:
    out = StringIO()
    output = Output(console=console_on(out))
    seen: list[int] = []

    def read(after: int) -> list[dict[str, Any]]:
        seen.append(after)
        return []

    with StepsShown(output, read, after=7) as steps:
        steps.update(None)
        steps.update(None)
    assert seen == [7, 7]


def test_times_are_of_the_clock_and_not_of_its_zone() -> None:
    assert seconds_between("2026-01-01T00:00:00Z", "2026-01-01T02:00:01+02:00") == 1

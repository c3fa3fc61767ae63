"""Waiting for something to end, and showing how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.live import Live

from provisioner.cli.client import Client
from provisioner.cli.exits import FAILED, CliError
from provisioner.cli.output import Output
from provisioner.cli.steps import StepRow, rows_of, table_of

POLL_S = 0.25

Look = Callable[[], dict[str, Any]]


class StepsShown:
    """The steps of one instance or node: live on a terminal, a line per step elsewhere."""

    def __init__(self, output: Output, events: Callable[[int], list[dict[str, Any]]]) -> None:
        self._output = output
        self._read = events
        self._events: list[dict[str, Any]] = []
        self._told = 0
        on_terminal = output.console.is_terminal and not output.as_json
        self._live = Live(console=output.console, auto_refresh=False) if on_terminal else None

    def __enter__(self) -> StepsShown:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, progress: float | None) -> None:
        last = self._events[-1]["id"] if self._events else 0
        self._events += self._read(last)
        rows = rows_of(self._events)
        now = datetime.now(UTC).isoformat()
        if self._live is not None:
            self._live.update(table_of(rows, now, progress), refresh=True)
        else:
            self._tell_ended(rows)

    def _tell_ended(self, rows: list[StepRow]) -> None:
        ended = [row for row in rows if row.ended_at]
        for row in ended[self._told :]:
            text = f"{row.state:>5}  {row.name:22} {row.took_s(row.ended_at):6.1f} s  {row.text}"
            self._output.say(text.replace("[", "\\["))
        self._told = len(ended)


def wait_for_instance(
    client: Client, output: Output, instance: str, wanted: tuple[str, ...], timeout_s: float
) -> dict[str, Any]:
    """Returns the instance in one of the states wanted. Raises CliError after `timeout_s`."""
    path = f"/v1/instances/{instance}"
    end_s = time.monotonic() + timeout_s
    said = ""
    with StepsShown(output, lambda after: list(client.all(f"{path}/timeline", after=after))) as shown:
        while True:
            found: dict[str, Any] = client.get(path)
            shown.update((found["work"] or {}).get("progress"))
            if found["state"] in wanted:
                return found
            if found["waiting_for"] and found["waiting_for"] != said:
                said = found["waiting_for"]
                output.say(f"[yellow]{instance} waits:[/] {said}")
            if time.monotonic() > end_s:
                raise CliError(f"{instance} is still {found['state']} after {timeout_s:.0f} s.", FAILED)
            time.sleep(POLL_S)


def wait_until(
    look: Look, done: Callable[[dict[str, Any]], bool], what: str, timeout_s: float
) -> dict[str, Any]:
    """Polls until `done`. Raises CliError naming `what` after `timeout_s`."""
    end_s = time.monotonic() + timeout_s
    while True:
        found = look()
        if done(found):
            return found
        if time.monotonic() > end_s:
            raise CliError(f"{what}: not within {timeout_s:.0f} s; it is {found['state']}.", FAILED)
        time.sleep(POLL_S)

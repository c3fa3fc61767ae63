"""Waiting for something to end, and showing how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.live import Live
from rich.markup import escape

from provisioner.cli.client import Client, path_of
from provisioner.cli.exits import FAILED, INTERRUPTED, CliError
from provisioner.cli.output import Output
from provisioner.cli.steps import rows_of, table_of

POLL_S = 0.25

Look = Callable[[], dict[str, Any]]


class StepsShown:
    """The steps of one instance: a row as each ends; on a terminal, the running one below, live.

    Only that one moves: what was read once stays where it is, on a terminal of any height.
    """

    def __init__(
        self, output: Output, read: Callable[[int], list[dict[str, Any]]], *, after: int = 0
    ) -> None:
        """read: the events after one with that id. after: the last one that needs no telling."""
        self._output = output
        self._read = read
        self._last = after
        self._events: list[dict[str, Any]] = []
        self._told = 0
        self._note = ""
        on_terminal = output.people.is_terminal and not output.as_json
        self._live = Live(console=output.people, auto_refresh=False, transient=True) if on_terminal else None

    def __enter__(self) -> StepsShown:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, progress: float | None) -> None:
        self._events += self._read(self._last)
        self._last = self._events[-1]["id"] if self._events else self._last
        now = datetime.now(UTC).isoformat()
        rows = rows_of(self._events)
        ended = [row for row in rows if row.ended_at]
        for row in ended[self._told :]:
            self._output.people.print(table_of([row], now))
        self._told = len(ended)
        if self._live is not None:
            running = [row for row in rows if not row.ended_at]
            self._live.update(table_of(running, now, progress), refresh=True)

    def note(self, text: str) -> None:
        """Something to know beside the steps, told once."""
        if text and text != self._note:
            self._output.say(f"[yellow]…[/] {escape(text)}")
        self._note = text


def wait_for_instance(
    client: Client,
    output: Output,
    instance: str,
    wanted: tuple[str, ...],
    timeout_s: float,
    *,
    after: int = 0,
) -> dict[str, Any]:
    """Returns the instance in one of the states wanted. Raises CliError after `timeout_s`.

    after: the event after which it is shown how it goes."""
    path = path_of("instances", instance)
    end_s = time.monotonic() + timeout_s
    name = instance
    try:
        with StepsShown(
            output, lambda last: list(client.all(f"{path}/timeline", after=last)), after=after
        ) as shown:
            while True:
                found: dict[str, Any] = client.get(path)
                name = found["name"]
                shown.update((found["work"] or {}).get("progress"))
                if found["state"] in wanted:
                    return found
                shown.note(f"waiting: {found['waiting_for']}" if found["waiting_for"] else "")
                if time.monotonic() > end_s:
                    raise CliError(f"{name} is still {found['state']} after {timeout_s:.0f} s.", FAILED)
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        told = f"No longer watched; {name} goes on. Watch again: provisioner instance wait {name}"
        raise CliError(told, INTERRUPTED) from None


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

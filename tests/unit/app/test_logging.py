"""What `log` of the configuration makes of what is logged."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
import structlog
from pydantic import ValidationError

from provisioner.app.logging import set_up_logging
from provisioner.config.settings import Log

LEVELS = ("debug", "info", "warning", "error")


class Stderr(StringIO):
    """In the place of the process's own."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._patch = patch
        self._terminal = False

    def isatty(self) -> bool:
        return self._terminal

    def set_up(self, level: str, format: str, terminal: bool = False) -> None:
        """Only now: pytest takes standard error, and the handlers of the standard way, when a test begins."""
        self._terminal = terminal
        self._patch.setattr(sys, "stderr", self)
        self._patch.setattr(logging.root, "handlers", [])
        self._patch.setattr(logging.root, "level", logging.root.level)
        set_up_logging(level, format)

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    @property
    def entries(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stderr]:
    """What is set up for the whole process is undone."""
    before = structlog.get_config()
    yield Stderr(monkeypatch)
    structlog.configure(**before)


def log_at_each_level() -> None:
    log = structlog.get_logger()
    for level in LEVELS:
        getattr(log, level)("node.seen", level_meant=level)


@pytest.mark.parametrize("least", LEVELS)
def test_what_is_less_than_the_level_is_left_out(stderr: Stderr, least: str) -> None:
    stderr.set_up(least, "json")
    log_at_each_level()
    assert [entry["level"] for entry in stderr.entries] == list(LEVELS[LEVELS.index(least) :])


def test_a_line_of_json_tells_what_happened_when_and_with_what(stderr: Stderr) -> None:
    stderr.set_up("info", "json")
    with structlog.contextvars.bound_contextvars(node="n1"):
        structlog.get_logger().info("step.done", step="power_on", seconds=0.5)
    (entry,) = stderr.entries
    when = datetime.fromisoformat(str(entry.pop("timestamp")))
    assert when.tzinfo == UTC
    assert entry == {"event": "step.done", "level": "info", "node": "n1", "step": "power_on", "seconds": 0.5}


def test_on_a_terminal_a_line_is_for_people(stderr: Stderr) -> None:
    stderr.set_up("info", "console")
    structlog.get_logger().info("step.done", step="power_on")
    (line,) = stderr.lines
    assert re.search(r"info.*step\.done.*step=power_on", re.sub(r"\x1b\[[0-9;]*m", "", line))


@pytest.mark.parametrize("terminal", [False, True])
def test_auto_is_for_people_on_a_terminal_and_json_elsewhere(stderr: Stderr, terminal: bool) -> None:
    stderr.set_up("info", "auto", terminal)
    structlog.get_logger().info("step.done")
    assert stderr.getvalue().startswith("{") is not terminal


@pytest.mark.parametrize("format", ["json", "console"])
def test_an_error_is_told_by_its_traceback_without_the_values_of_variables(
    stderr: Stderr, format: str
) -> None:
    stderr.set_up("info", format)
    password = "correct-" + "horse"
    try:
        raise ValueError(f"no password of {len(password)} characters")
    except ValueError:
        structlog.get_logger().exception("node.broke")
    told = stderr.getvalue()
    assert "node.broke" in told
    assert "Traceback (most recent call last)" in told
    assert "ValueError: no password of 13 characters" in told
    assert password not in told


@pytest.mark.parametrize(("level", "told"), [("debug", ["warning", "error"]), ("error", ["error"])])
def test_libraries_are_heard_when_they_warn_at_least(stderr: Stderr, level: str, told: list[str]) -> None:
    """At INFO, httpx and tftpy would tell of every request."""
    stderr.set_up(level, "json")
    library = logging.getLogger("a.library")
    for each in LEVELS:
        getattr(library, each)("said %s", each)
    assert [line.rpartition(" ")[2] for line in stderr.lines] == told


@pytest.mark.parametrize("given", [{"level": "loud"}, {"format": "xml"}])
def test_what_the_configuration_does_not_know_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Log.model_validate(given)


def test_everything_that_the_configuration_knows_can_be_set_up(stderr: Stderr) -> None:
    fields = Log.model_json_schema()["properties"]
    assert tuple(fields["level"]["enum"]) == LEVELS
    for level in fields["level"]["enum"]:
        for format in fields["format"]["enum"]:
            stderr.set_up(level, format)

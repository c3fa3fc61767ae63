"""Traces kept in files: first what was played, then what happened, one line of JSON each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scenarios.runner.jobs import Job
from scenarios.runner.load import BadScenario
from scenarios.runner.trace import Event, Trace
from scenarios.runner.verdict import Played


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """sha256: of the trace, as the verdict told it."""

    job: Job
    sha256: str
    events: tuple[Event, ...]


def save(folder: Path, job: Job, played: Played) -> Path:
    """One of the same job is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{job.name}-{job.fidelity}-{job.seed}.jsonl"
    head = {"played": job.to_json(), "trace_sha256": played.result.trace_sha256}
    lines = [json.dumps(head, sort_keys=True, ensure_ascii=False)]
    lines += [event.to_json() for event in played.trace]
    # Whole or not at all: it may be read while a search goes on.
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    return fresh.replace(path)


def read_saved(path: Path) -> Saved:
    """Raises BadScenario."""
    try:
        first, *rest = path.read_text().splitlines()
        head = json.loads(first)
        events = tuple(Event.from_json(line) for line in rest)
        return Saved(job=Job.from_json(head["played"]), sha256=head["trace_sha256"], events=events)
    except OSError as error:
        raise BadScenario(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadScenario(f"{path}: no trace that `bmsim scenario run` kept: {error}") from error


def first_difference(before: tuple[Event, ...], after: Trace) -> str:
    """Where two traces part, as two lines; "" when they don't."""
    again = list(after)
    for old, new in zip(before, again, strict=False):
        if old.to_json() != new.to_json():
            return f"then: {old.to_line()}\nnow:  {new.to_line()}"
    if len(before) == len(again):
        return ""
    longer, which = (before, "then") if len(before) > len(again) else (again, "now")
    return f"only {which}: {longer[min(len(before), len(again))].to_line()}"

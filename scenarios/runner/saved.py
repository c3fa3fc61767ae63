"""Traces kept in files: first what was played, then what happened, one line of JSON each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from scenarios.runner.jobs import Job
from scenarios.runner.load import BadScenario
from scenarios.runner.played_code import code_sha256
from scenarios.runner.trace import Event, Trace
from scenarios.runner.verdict import Played

KEY_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """sha256: of the trace, as the verdict told it. code: what played it; empty: that wasn't written down.
    damaged: these are not the events that were kept."""

    job: Job
    sha256: str
    code: str
    events: tuple[Event, ...]
    damaged: bool


def save(folder: Path, job: Job, played: Played) -> Path:
    """One of the same job is replaced, and of no other: two racks may have one name and seed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{job.name}-{job.fidelity}-{job.seed}-{job.key[:KEY_DIGITS]}.jsonl"
    sha256, code = played.result.trace_sha256, code_sha256()
    head = {"played": job.to_json(), "trace_sha256": sha256, "code": code}
    lines = [json.dumps(head, sort_keys=True, ensure_ascii=False)]
    lines += [event.to_json() for event in played.trace]
    # Whole or not at all: it may be read while a search goes on.
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def read_saved(path: Path) -> Saved:
    """Raises BadScenario."""
    try:
        # Not splitlines: a name may have a line separator of Unicode, which JSON leaves as it is.
        first, *rest = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        head = json.loads(first)
        trace = Trace()
        for line in rest:
            trace.add(Event.from_json(line))
        code, sha256, actual = str(head.get("code", "")), head["trace_sha256"], trace.sha256()
        job = Job.from_json(head["played"])
    except OSError as error:
        raise BadScenario(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise BadScenario(f"{path}: its scenario is none of this version: {told}") from error
    except KeyError as error:
        raise BadScenario(f"{path}: no trace that `bmsim scenario run` kept: it has no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadScenario(f"{path}: no trace that `bmsim scenario run` kept: {error}") from error
    return Saved(job=job, sha256=sha256, code=code, events=tuple(trace), damaged=sha256 != actual)


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

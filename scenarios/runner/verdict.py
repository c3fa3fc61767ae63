"""How a story ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scenarios.runner.trace import Trace


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"  # the provisioner broke a promise, whatever befell the lab
    INFRA = "infra"  # the lab broke: nothing is said about the provisioner


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A promise that was broken.

    promise: name of the invariant ("one_owner"), or "expectation" | "deadline"
    what:    a sentence: which node, what was seen, what should have been
    at_s:    when, in the story's time
    event:   index in the trace of the event that shows it; None: the end of the story shows it
    """

    promise: str
    what: str
    at_s: float
    event: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """scenario: its name. file: as given on the command line. fidelity: "model" | "machine".
    took_s: real seconds. story_s: seconds of the story's own time.
    trouble: what broke in the lab, for INFRA; of a FAIL: what did so besides. trace_sha256: of all its lines;
    equal for equal runs at fidelity model.
    replay: the command that plays it again. keep: the one that writes it down as a scenario file; empty: it
    has one.
    """

    scenario: str
    file: str
    fidelity: str
    seed: int
    verdict: Verdict
    breaches: tuple[Breach, ...] = field(default_factory=tuple)
    trouble: str = ""
    took_s: float = 0.0
    story_s: float = 0.0
    replay: str = ""
    keep: str = ""
    trace_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A story that has ended: how, and all that was seen of it. left_out: events that its trace had once."""

    result: Result
    trace: Trace
    left_out: int = 0

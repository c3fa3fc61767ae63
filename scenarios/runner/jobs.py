"""One playing of one story: what a worker process is handed, and what it hands back."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from scenarios.runner.compile import story_of
from scenarios.runner.random_story import random_story
from scenarios.runner.schema import Scenario
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Story
from scenarios.runner.trace import Event
from scenarios.runner.verdict import Played, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A scenario of a file, or without one a story made up by the seed.

    file:     as it was given on the command line
    scenario: None: made up by the seed, with so many nodes, strikes, compute hosts and orders. One without a
              file was made up too.
    """

    fidelity: Fidelity
    seed: int
    file: str = ""
    scenario: Scenario | None = None
    nodes: int = 5
    strikes: int = 2
    compute_hosts: int = 1
    orders: int = 0

    @property
    def name(self) -> str:
        return self.scenario.name if self.scenario is not None else f"random-{self.seed}"

    @property
    def label(self) -> str:
        return f"{self.file or 'random'}::{self.fidelity} seed {self.seed}"

    @property
    def command(self) -> str:
        """What plays it again where no trace was kept; empty: nothing does, it is in no file."""
        seed = str(self.seed)
        if self.file:
            return _command("run", self.file, "--fidelity", self.fidelity, "--seed", seed)
        if self.scenario is not None:
            return ""
        size = ("--nodes", str(self.nodes), "--strikes", str(self.strikes))
        hosts = ("--compute-hosts", str(self.compute_hosts)) if self.compute_hosts > 1 else ()
        orders = ("--orders", str(self.orders)) if self.orders else ()
        return _command("search", "--seeds", f"{seed}..{seed}", *size, *hosts, *orders)

    @property
    def story(self) -> Story:
        if self.scenario is not None:
            return story_of(self.scenario, self.fidelity, self.seed)
        return random_story(self.seed, **self._size)

    @property
    def _size(self) -> dict[str, int]:
        size = {"nodes": self.nodes, "strikes": self.strikes, "compute_hosts": self.compute_hosts}
        return size | ({"orders": self.orders} if self.orders else {})

    @property
    def key(self) -> str:
        """Equal for what plays equally: a changed scenario is another job."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"fidelity": str(self.fidelity), "seed": self.seed, "file": self.file}
        if self.scenario is None:
            return row | self._size
        # Without defaults: a moment names nothing but what its kind allows. Without warnings: the serializer
        # knows nothing of the functions that choose the class of a request.
        written = self.scenario.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        return row | {"scenario": written}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Job:
        """Raises ValueError."""
        given = dict(row)
        scenario = given.pop("scenario", None)
        fidelity = Fidelity(given.pop("fidelity"))
        if scenario is not None:
            scenario = Scenario.model_validate(scenario)
        unknown = given.keys() - {field.name for field in fields(cls)}
        if "seed" not in given or unknown:
            raise ValueError(f"it was played by another version: {', '.join(sorted(unknown)) or 'no seed'}")
        for name, value in given.items():
            if type(value) is not (str if name == "file" else int):
                raise ValueError(f"{name} is {value!r}")
        return cls(fidelity=fidelity, scenario=scenario, **given)


def play_job(job: Job, traces: Path | None, listener: Callable[[Event], None] | None = None) -> Played:
    """The trace of one that didn't pass is kept in `traces`, for `bmsim scenario replay`. listener: told of
    each event as it is seen."""
    # Here, so that refusing a wrong file doesn't wait for all that plays it.
    from scenarios.runner.play import play, play_story
    from scenarios.runner.saved import save

    if job.scenario is not None:
        played = play(job.scenario, job.fidelity, job.seed, file=job.file, listener=listener)
    else:
        played = play_story(job.story, job.fidelity, job.seed, file=job.file, listener=listener)
    if traces is None or played.result.verdict is Verdict.PASS:
        return replace(played, result=replace(played.result, replay=job.command))
    try:
        trace = str(save(traces, job, played))
    except OSError as error:
        told = f"its trace can't be kept in {traces}: {error.strerror}; name another folder by --traces"
        trouble = "; ".join(filter(None, (played.result.trouble, told)))
        return replace(played, result=replace(played.result, replay=job.command, trouble=trouble))
    keep = "" if job.file else _command("record", trace, "FILE", "--why", "…", "--source", "…")
    result = replace(played.result, replay=_command("replay", trace), keep=keep)
    return replace(played, result=result)


def _command(*words: str) -> str:
    return f"bmsim scenario {shlex.join(words)}"

"""Plays a story in the model."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from scenarios.runner.conductor import Conductor
from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.model.stage import ModelStage
from scenarios.runner.model.world_time import chance
from scenarios.runner.reality import forbidden
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Story
from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Breach
from scenarios.runner.virtual_time import run


def play_model(story: Story, seed: int, trace: Trace) -> list[Breach]:
    """The promises that were broken; what happened is added to the trace, also when the lab breaks. Equal for
    equal stories and seeds, in any process."""
    log = _Log()
    with _logs_to(log), forbidden():
        return run(_play(story, seed, trace, log), seed)


class _Log:
    """Where the provisioner's log goes: to the stage, as long as there is one."""

    stage: ModelStage | None = None

    def take(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        """A processor of structlog."""
        if self.stage is not None:
            self.stage.log(repr(event))
        raise structlog.DropEvent


async def _play(story: Story, seed: int, trace: Trace, log: _Log) -> list[Breach]:
    log.stage = stage = ModelStage(story, seed, trace)
    conductor = Conductor(story, stage, stage, DEADLINES[Fidelity.MODEL], chance(seed, "moments"))
    await stage.begin()
    await conductor.play()
    log.stage = None
    return conductor.breaches


@contextmanager
def _logs_to(log: _Log) -> Iterator[None]:
    """What the provisioner logs is looked through for secrets, and printed nowhere."""
    before = structlog.get_config()
    structlog.configure(processors=[log.take], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)

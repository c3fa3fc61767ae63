"""Plays a story in the model."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from math import inf
from typing import Any

import structlog

from scenarios.runner.conductor import Conductor
from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.model.defects import in_words, is_of_provisioner, leaves
from scenarios.runner.model.stage import ModelStage
from scenarios.runner.model.world_time import chance
from scenarios.runner.reality import forbidden
from scenarios.runner.stage import Fidelity, LabTrouble, NotBegun
from scenarios.runner.story import Story
from scenarios.runner.trace import Trace
from scenarios.runner.trouble import lab_broke
from scenarios.runner.verdict import Breach
from scenarios.runner.virtual_time import run
from scenarios.runner.waits import Standstill


def play_model(story: Story, seed: int, trace: Trace) -> list[Breach]:
    """The promises that were broken; what happened is added to the trace, also when the lab breaks. Equal for
    equal stories and seeds, in any process. Raises nothing that the story brings about but LabTrouble."""
    playing, failed = _Playing(story, seed, trace), list[BaseException]()
    try:
        with _logs_to(playing), forbidden():
            run(playing.play(), seed, unseen=failed)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # what isn't the story's is raised below
        failed.insert(0, error)
    for one in failed:
        if isinstance(one, SystemExit) and not is_of_provisioner(one):
            raise one  # who ends this command
    return playing.judged([leaf for error in failed for leaf in leaves(error)])


class _Playing:
    """One story, and what is known of it whatever it ends by. ended_s: when that was."""

    def __init__(self, story: Story, seed: int, trace: Trace) -> None:
        self.ended_s = inf
        self._story = story
        self._seed = seed
        self._trace = trace
        self._stage: ModelStage | None = None
        self._breaches: list[Breach] = []
        self._trouble: LabTrouble | None = None

    async def play(self) -> None:
        self._stage = stage = ModelStage(self._story, self._seed, self._trace)
        random = chance(self._seed, "moments")
        conductor = Conductor(self._story, stage, stage, DEADLINES[Fidelity.MODEL], random)
        self._breaches = conductor.breaches
        try:
            await stage.begin()
            await conductor.play()
        except LabTrouble as trouble:
            self._trouble = trouble  # which knows what it explains; one that nobody looked at doesn't
            raise
        finally:
            self.ended_s = stage.now_s()
            self._stage = None

    def take(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        """A processor of structlog: the provisioner's log goes to the stage, as long as there is one."""
        if self._stage is not None:
            self._stage.log(repr(event))
        raise structlog.DropEvent

    def judged(self, failed: list[BaseException]) -> list[Breach]:
        """What was broken, after all that has failed. Raises LabTrouble for what did so in the lab."""
        seen = [one for one in self._breaches if one.at_s <= self.ended_s]
        defects = [self._breach(error) for error in failed if is_of_provisioner(error)]
        broken = [error for error in failed if not is_of_provisioner(error)]
        if not broken:
            return [*seen, *defects]
        trouble = self._trouble or lab_broke(broken[0], seen, self.ended_s)
        trouble.breaches += tuple(defects)
        raise trouble

    def _breach(self, error: BaseException) -> Breach:
        match error:
            case NotBegun():
                promise, what = error.promise, str(error)
            case Standstill():
                promise, what = "deadline", f"the provisioner stands in the way of time: {in_words(error)}"
            case _:
                promise, what = "no_defect", f"the provisioner came upon a defect: {in_words(error)}"
        return Breach(promise=promise, what=what, at_s=self.ended_s)


@contextmanager
def _logs_to(playing: _Playing) -> Iterator[None]:
    """What the provisioner logs is looked through for secrets, and printed nowhere."""
    before = structlog.get_config()
    structlog.configure(
        # As `provisioner.app.logging` has them, but for what stamps a line: secrets stand in tracebacks too.
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            playing.take,
        ],
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)

"""What a newcomer plays first: the examples of the reference, and stories with a mistake in them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner

from scenarios.runner.cli import app
from scenarios.runner.jobs import Job
from scenarios.runner.play import play
from scenarios.runner.saved import save
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict
from tests.unit.scenarios.files import SOUND, scenario
from tests.unit.scenarios.test_content import EXAMPLES, framed

FEW = 10
"""Nodes: racks of more take a minute."""


def small(example: str) -> bool:
    with TemporaryDirectory() as folder:
        return len(framed(example, Path(folder)).node_names) <= FEW


SMALL = [example for example in EXAMPLES if small(example)]


@pytest.mark.parametrize("example", SMALL, ids=range(len(SMALL)))
def test_every_small_example_of_the_reference_passes(example: str, tmp_path: Path) -> None:
    story = framed(example, tmp_path)
    result = play(story, Fidelity.MODEL, story.seed).result
    assert (result.verdict, result.trouble, result.breaches) == (Verdict.PASS, "", ())


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ("{deploy: n1, image: tiny, ephemeral_mib: 500000}", "i-n1 ended refused: image-too-large"),
        ("{deploy: any, as: web, image: debian-disk, swap_mib: 10}", "waiting: no node fits"),
    ],
)
def test_what_cannot_be_deployed_is_told_with_why(request_: str, told: str, tmp_path: Path) -> None:
    head = SOUND.partition("faults:")[0]
    story = scenario(tmp_path, head.replace("{deploy: n1, image: tiny}", request_))
    result = play(story, Fidelity.MODEL, story.seed).result
    assert result.verdict is Verdict.FAIL
    assert told in "".join(breach.what for breach in result.breaches)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_replay_tells_that_its_trace_is_damaged(lost: int, tmp_path: Path) -> None:
    story = scenario(tmp_path, SOUND)
    played = play(story, Fidelity.MODEL, story.seed)
    path = save(tmp_path, Job(fidelity=Fidelity.MODEL, seed=story.seed, scenario=story), played)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) - lost]))
    ran = CliRunner().invoke(app, ["replay", str(path)])
    assert ran.exit_code == 0
    assert ("is damaged" in ran.output) == bool(lost)
    assert ("every event is the same as then" in ran.output) == (not lost)

"""Whatever model and machines may differ in can be written down in a scenario's `differs`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.runner.agreement import essence
from scenarios.runner.parts import DiffersPart
from scenarios.runner.play import play_story
from scenarios.runner.random_story import FAMILIES
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import POWERS, Story
from tests.model.mutants import DELETE, DEPLOY, board_story, story


def powered(power: str) -> Story:
    family = next(one for one in FAMILIES if one.arch == "x86_64")
    return replace(story(DEPLOY, DELETE), nodes=(family.node(1, power),))


@pytest.mark.parametrize(
    ("played", "sources"),
    [
        *(
            (powered(power), {"bmc" if power == "ipmi" else "pdu", "dhcp", "http", "step"})
            for power in POWERS
        ),
        (board_story(), {"pdu", "step"}),
    ],
)
def test_each_word_of_a_story_may_be_a_difference(played: Story, sources: set[str]) -> None:
    words = essence(play_story(played, Fidelity.MODEL, 1).trace, "n1")
    assert {word.partition(" ")[0] for word in words} >= sources
    for word in words:
        differs = DiffersPart.model_validate({"only": "machine", "what": word, "why": "it has its reason"})
        assert differs.line == f"+{word}"

"""The scenarios of the project, and the examples of their reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner.compile import story_of
from scenarios.runner.load import read, read_all
from scenarios.runner.parts import KINDS, VERBS
from scenarios.runner.stage import Fidelity
from scenarios.runner.words import in_words

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs/scenarios.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)
FRAME = {
    "name": "an-example\n",
    "why": "what the reference says is true\n",
    "source": "the reference of scenarios\n",
    "rack": "{nodes: [{name: n1}, {name: n2}]}\n",
    "requests": "[{deploy: all, image: tiny}, {delete: all}]\n",
}


def test_there_are_thirty_scenarios_and_twelve_of_them_for_machines() -> None:
    files = read_all([ROOT / "scenarios"])
    assert len(files) >= 30
    assert sum(Fidelity.MACHINE in one.scenario.fidelities for one in files) >= 12
    themes = {Path(one.file).parent.name for one in files}
    assert themes == {
        "power",
        "netboot",
        "image",
        "agent",
        "lifecycle",
        "failover",
        "placement",
        "scale",
        "boards",
    }


def test_every_scenario_strikes_at_something_or_says_why_not() -> None:
    for one in read_all([ROOT / "scenarios"]):
        story = story_of(one.scenario, one.scenario.fidelities[0], one.scenario.seed)
        assert story.strikes, one.file
        assert in_words(one.scenario).startswith(one.scenario.name)


@pytest.mark.parametrize("path", sorted((ROOT / "fixtures/demo").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_story_of_the_demo_can_be_played_at_the_fidelities_that_it_declares(path: Path) -> None:
    scenario = read(path).scenario
    for fidelity in scenario.fidelities:
        assert story_of(scenario, fidelity, scenario.seed).strikes


def test_every_fault_that_models_can_have_strikes_in_some_scenario() -> None:
    struck: set[str] = set()
    for one in read_all([ROOT / "scenarios"]):
        if Fidelity.MODEL in one.scenario.fidelities:
            story = story_of(one.scenario, Fidelity.MODEL, one.scenario.seed)
            struck |= {expected.struck for expected in story.expected}
    playable = {fault.name for fault in CATALOGUE.values() if Fidelity.MODEL in fault.fidelities}
    assert playable - struck == set()


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_the_reference_is_a_scenario_or_a_part_of_one(example: str, tmp_path: Path) -> None:
    missing = (f"{key}: {value}" for key, value in FRAME.items() if not _has(example, key))
    path = tmp_path / "example.yaml"
    path.write_text("".join(missing) + example)
    scenario = read(path).scenario
    for fidelity in scenario.fidelities:
        story_of(scenario, fidelity, 0)


def _has(example: str, key: str) -> bool:
    return re.search(rf"^{key}:", example, re.MULTILINE) is not None


@pytest.mark.parametrize("word", [*KINDS, *VERBS, "heal_after_s", "share", "may_miss", "safety_s"])
def test_the_reference_has_an_example_of_each(word: str) -> None:
    assert any(re.search(rf"\b{word}:", example) for example in EXAMPLES)

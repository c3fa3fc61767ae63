"""The scenarios of the project, and the examples of their reference."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bmsim.faults.catalogue import CATALOGUE
from bmsim.rack.part import Part
from scenarios.runner.compile import story_of
from scenarios.runner.load import read, read_all
from scenarios.runner.schema import Scenario
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
    scenario = framed(example, tmp_path)
    for fidelity in scenario.fidelities:
        story_of(scenario, fidelity, 0)


def framed(example: str, folder: Path) -> Scenario:
    """With what it leaves out."""
    missing = (f"{key}: {value}" for key, value in FRAME.items() if not _has(example, key))
    path = folder / "example.yaml"
    path.write_text("".join(missing) + example)
    return read(path).scenario


def _has(example: str, key: str) -> bool:
    return re.search(rf"^{key}:", example, re.MULTILINE) is not None


def _all_parts(of: type[Part] = Part) -> Iterator[type[Part]]:
    for part in of.__subclasses__():
        if part.__module__.startswith("scenarios."):
            yield part
        yield from _all_parts(part)


def _own(part: type[Part]) -> Iterator[str]:
    """By the names by which they are written."""
    for name, field in part.model_fields.items():
        if name in inspect.get_annotations(part):
            yield f"{part.__name__}.{field.alias or name}"


def _written(part: Part, names: Iterable[str]) -> Iterator[str]:
    """These fields of it, and all that are written in them."""
    for name in names:
        alias = type(part).model_fields[name].alias or name
        yield from (f"{of.__name__}.{alias}" for of in type(part).__mro__)
        value = getattr(part, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Part):
                yield from _written(inner, inner.model_fields_set)


FIELDS = sorted({field for part in _all_parts() for field in _own(part)})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the examples themselves have, without their frame."""
    folder, found = tmp_path_factory.mktemp("examples"), set[str]()
    for example in EXAMPLES:
        scenario = framed(example, folder)
        found.update(_written(scenario, [name for name in scenario.model_fields_set if _has(example, name)]))
    return found


@pytest.mark.parametrize("field", FIELDS)
def test_the_reference_has_an_example_of_each_field(field: str, shown: set[str]) -> None:
    assert field in shown

"""`bmsim scenario`: as it is installed where it plays stories, in this process where it refuses to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scenarios.runner.cli import app
from scenarios.runner.load import available_memory_mib

pytestmark = pytest.mark.wire

BMSIM = Path(sys.executable).with_name("bmsim")
DEADLINE_S = 120

STORY = """\
name: {name}
why: a promise that somebody relies on
source: a bug that was seen in the wild
rack: {{nodes: [{{name: n1}}]}}
requests: [{{deploy: n1, image: tiny}}]
faults:
  - {{do: bmc.busy, with: {{count: 2}}, when: {{node: n1, step: power_on}}}}
expect: [{{node: n1, state: {state}}}]
"""


def story(folder: Path, name: str, state: str = "active") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(STORY.format(name=name, state=state))
    return path


def bmsim(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BMSIM, "scenario", *map(str, words)],
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def here(folder: Path, *words: object) -> Result:
    """The command in this process: an interpreter takes longer to start than a refusal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "1000"})


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a story that failed, and what was said of it."""
    folder = tmp_path_factory.mktemp("failed")
    story(folder, "bad", state="available")
    ran = bmsim(folder, "run", "bad.yaml", "--seed", 5)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    yield folder, ran.stdout


def test_a_story_that_ends_well_passes_and_is_reported(tmp_path: Path) -> None:
    story(tmp_path, "good")
    ran = bmsim(tmp_path, "run", "good.yaml", "--junit", "j.xml", "--html", "page.html")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 pass in" in ran.stdout
    assert ET.parse(tmp_path / "j.xml").getroot().find(".//testcase") is not None
    assert "good" in (tmp_path / "page.html").read_text()


def test_the_replay_command_of_a_failure_brings_the_same_failure(failed: tuple[Path, str]) -> None:
    folder, said = failed
    complaint = "node n1 is active, not available"
    assert complaint in said
    command = re.search(r"bmsim scenario (replay \S+)", said)
    assert command is not None
    again = bmsim(folder, *command.group(1).split())
    assert again.returncode == 1
    assert complaint in again.stdout
    assert "every event is the same as then" in again.stdout


def test_another_trace_than_then_is_told_by_its_first_difference(
    failed: tuple[Path, str], tmp_path: Path
) -> None:
    [trace] = (failed[0] / "state/bmsim/traces").iterdir()
    lines = trace.read_text().splitlines()
    lines[9] = json.dumps({**json.loads(lines[9]), "name": "never.happened"})
    (tmp_path / "changed.jsonl").write_text("\n".join(lines) + "\n")
    ran = here(tmp_path, "replay", "changed.jsonl")
    assert "not the same as in" in ran.stdout
    assert "never.happened" in ran.stdout
    assert "other code" not in ran.stdout


def test_a_trace_that_other_code_kept_is_told_as_such(failed: tuple[Path, str], tmp_path: Path) -> None:
    [trace] = (failed[0] / "state/bmsim/traces").iterdir()
    first, rest = trace.read_text().split("\n", 1)
    old = json.dumps({**json.loads(first), "code": "of yesterday"})
    (tmp_path / "old.jsonl").write_text(f"{old}\n{rest}")
    ran = here(tmp_path, "replay", "old.jsonl")
    assert ran.stdout.startswith("other code than this one kept old.jsonl: what it plays now may be another")


def test_a_folder_is_reported_with_a_case_for_each_story(tmp_path: Path) -> None:
    for folder in ("stories/power", "stories/image"):
        (tmp_path / folder).mkdir(parents=True)
    story(tmp_path / "stories", "good")
    story(tmp_path / "stories/power", "bad", state="available")
    idle = story(tmp_path / "stories/image", "idle")
    idle.write_text(idle.read_text().replace("step: power_on", "step: power_on, nth: 9"))
    (tmp_path / "stories/README.md").write_text("no story\n")
    ran = bmsim(tmp_path, "run", "stories", "--jobs", 2, "--junit", "j.xml")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "1 pass, 1 fail, 1 infra in" in ran.stdout
    suite = ET.parse(tmp_path / "j.xml").getroot().find("testsuite")
    assert suite is not None
    assert [suite.get(count) for count in ("tests", "failures", "errors")] == ["3", "1", "1"]
    cases = {
        case.get("name"): [child.tag for child in case if child.tag != "properties"]
        for case in suite.iter("testcase")
    }
    assert cases == {"good[model-0]": [], "bad[model-0]": ["failure"], "idle[model-0]": ["error"]}


def test_a_folder_in_which_only_the_lab_broke_ends_with_five(tmp_path: Path) -> None:
    idle = story(tmp_path, "idle")
    idle.write_text(idle.read_text().replace("step: power_on", "step: power_on, nth: 9"))
    ran = bmsim(tmp_path, "run", ".")
    assert ran.returncode == 5, ran.stdout + ran.stderr
    assert "the story proves nothing" in ran.stdout


def test_scenarios_are_listed_with_what_they_guard(tmp_path: Path) -> None:
    (tmp_path / "power").mkdir()
    story(tmp_path, "first")
    second = story(tmp_path / "power", "second")
    nodes = second.read_text().replace("{nodes: [{name: n1}]}", "{nodes: [{name: n1}, {name: n2}]}")
    second.write_text(f"fidelities: [model, machine]\n{nodes}")
    ran = here(tmp_path, "list", ".", "first.yaml")
    assert ran.exit_code == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "first.yaml  (model; 1 nodes)",
        "    a promise that somebody relies on",
        "power/second.yaml  (model, machine; 2 nodes)",
        "    a promise that somebody relies on",
    ]


def test_a_scenario_is_shown_in_words(tmp_path: Path) -> None:
    story(tmp_path, "good")
    ran = here(tmp_path, "show", "good.yaml")
    assert ran.exit_code == 0, ran.stderr
    told = ran.stdout.splitlines()
    assert told[:2] == ["good", "guards: a promise that somebody relies on"]
    assert "  at 0 s: deploy i-n1 from image tiny to n1, quick wipe" in told
    assert "  node n1 ends active" in told
    (breaks,) = (line for line in told if "bmc.busy strikes n1" in line)
    assert "step power_on" in breaks


@pytest.mark.parametrize("words", [("list", "."), ("show", "wrong.yaml"), ("run", ".", "--junit", "j.xml")])
def test_a_wrong_file_among_good_ones_is_refused_before_anything_starts(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    story(tmp_path, "good")
    story(tmp_path, "wrong").write_text("name: wrong\n")
    ran = here(tmp_path, *words)
    assert ran.exit_code == 2
    assert "wrong.yaml:1: why: Field required" in ran.stderr
    assert ran.stdout == ""
    assert not (tmp_path / "j.xml").exists()


@pytest.mark.parametrize("words", [("two.yaml", "one.yaml"), ("one.yaml", "--seeds", "1..9")])
def test_more_machines_at_a_time_than_memory_holds_are_refused_before_anything_starts(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        file = story(tmp_path, name)
        node = f"{{name: n1, memory_mib: {available_memory_mib() * 6 // 10}}}"
        text = file.read_text().replace("{name: n1}", node)
        file.write_text(text.replace("rack:", "fidelities: [machine]\nrack:"))
    ran = here(tmp_path, "run", *words, "--jobs", 2)
    assert ran.exit_code == 2
    assert "--jobs 2: at fidelity machine the 2 largest of these stories need" in ran.stderr
    assert ran.stderr.endswith(" MiB are free: write --jobs 1\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "none.yaml"), "no such file"),
        (("run", "good.yaml", "--seeds", "9..1"), "A..B"),
        (("run", "good.yaml", "--seed", "1", "--seeds", "1..2"), "leave one out"),
        (("run", "good.yaml", "--fidelity", "machine"), "none of these scenarios declares"),
        (("replay", "none.jsonl"), "No such file"),
        (("replay", "."), "Is a directory"),
        (("run", "good.yaml", "--resume", "."), "can't be the journal of --resume: Is a directory"),
        (("run", "good.yaml", "--html", "."), "Is a directory; name another file by --html"),
        (
            ("run", "good.yaml", "--junit", "none/x.xml"),
            "No such file or directory; name another file by --junit",
        ),
        (("record", "1", "good.yaml", "--why", "w", "--source", "s"), "is there already"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_to_do(
    words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    story(tmp_path, "good")
    ran = here(tmp_path, *words)
    assert ran.exit_code == 2
    assert told in ran.stderr


def test_a_search_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    story(tmp_path, "good")
    words = ("run", "good.yaml", "--jobs", 1, "--resume", "journal", "--seeds")
    first = bmsim(tmp_path, *words, "1..3")
    assert first.returncode == 0, first.stdout + first.stderr
    second = bmsim(tmp_path, *words, "1..5")
    assert "3 passed already" in second.stdout
    assert "2 pass in" in second.stdout


def test_nothing_more_is_begun_after_the_first_failure_if_asked(tmp_path: Path) -> None:
    story(tmp_path, "bad", state="available")
    ran = bmsim(tmp_path, "run", "bad.yaml", "--seeds", "1..100", "--jobs", 1, "--stop-at-first")
    assert ran.returncode == 1
    found = re.search(r"(\d+) fail in", ran.stdout)
    assert found is not None
    assert int(found.group(1)) < 20


def test_a_story_that_was_made_up_is_recorded_and_ends_as_it_did(tmp_path: Path) -> None:
    searched = bmsim(tmp_path, "search", "--seeds", "1..1")
    assert "1 pass in" in searched.stdout or "1 fail in" in searched.stdout, searched.stderr
    words = ("--why", "nobody thought of it", "--source", "found by a search")
    kept = here(tmp_path, "record", 1, "kept.yaml", *words)
    assert kept.exit_code == 0, kept.stderr
    assert bmsim(tmp_path, "run", "kept.yaml").returncode == searched.returncode


def test_nothing_is_written_where_a_record_would_be_refused(tmp_path: Path) -> None:
    kept = here(tmp_path, "record", 1, "kept.yaml", "--why", "nobody thought of it", "--source", "")
    assert kept.exit_code == 2
    assert "source: " in kept.stderr
    assert not (tmp_path / "kept.yaml").exists()


def test_a_story_is_watched_with_each_host_in_a_column_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")  # few words are wrapped
    file = tmp_path / "two.yaml"
    kill = "{do: host.kill, target: owner, when: {node: n1, step: power_on, after_s: 0.01}}"
    text = STORY.format(name="two", state="active").replace("rack: {", "rack: {compute_hosts: 2, ")
    file.write_text(re.sub(r"\{do: bmc.*", kill, text))
    done = bmsim(tmp_path, "run", file, "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    # An owner's steps and the commands that its node's BMC got from it stand in its column.
    columns = [re.split(r" │ ?", line) for line in done.stdout.splitlines() if " │" in line]
    assert [cell.strip() for cell in columns[0][1:]] == ["ch1", "ch2", "rack"]
    first, second = (" ".join(row[place] for row in columns if len(row) > place) for place in (1, 2))
    assert "power_on started" in first and "process killed" in first
    assert "taken over from ch1" in re.sub(r" +", " ", second)
    assert "instance_running done" in second and "instance_running" not in first
    assert "bmc chassis.power" in first + second
    assert "one_owner" in done.stdout.splitlines()[-1]


def test_one_story_at_a_time_is_watched(tmp_path: Path) -> None:
    done = bmsim(tmp_path, "run", story(tmp_path, "one"), "--seeds", "1..2", "--watch")
    assert done.returncode == 2
    assert "--watch shows one story, and these are 2" in done.stderr

"""Scenario files for tests: a sound one, and what is changed in it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from scenarios.runner.load import read
from scenarios.runner.schema import Scenario

SOUND = """\
name: a-story
why: a promise that somebody relies on
source: a bug that was seen in the wild
rack: {nodes: [{name: n1}, {name: n2}]}
requests:
  - {deploy: n1, image: tiny}
faults:
  - {do: bmc.busy, with: {count: 2}, when: {node: n1, step: power_on}}
expect:
  - {node: n1, state: active}
"""


def written(folder: Path, text: str = SOUND, name: str = "story.yaml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def scenario(folder: Path, text: str = SOUND) -> Scenario:
    return read(written(folder, text)).scenario

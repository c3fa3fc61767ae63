"""Scenarios of a folder, read together."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.runner.load import BadScenario, read_all
from tests.unit.scenarios.files import SOUND, written


def test_every_wrong_file_of_a_folder_is_told(tmp_path: Path) -> None:
    written(tmp_path, SOUND.replace("tiny", "huge"), "a.yaml")
    written(tmp_path, SOUND.replace("n1, step", "n8, step"), "b.yaml")
    with pytest.raises(BadScenario) as refused:
        read_all([tmp_path])
    assert "a.yaml:6:" in str(refused.value)
    assert "b.yaml:8:" in str(refused.value)


def test_two_scenarios_of_one_name_are_refused(tmp_path: Path) -> None:
    written(tmp_path, name="a.yaml")
    written(tmp_path, name="b.yaml")
    with pytest.raises(BadScenario, match=r"b.yaml:1: name: .*a.yaml is called a-story too"):
        read_all([tmp_path])


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert len(read_all([path, tmp_path, path])) == 1


def test_a_folder_without_scenarios_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match="no scenario"):
        read_all([tmp_path])

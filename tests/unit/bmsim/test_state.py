from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from bmsim.rack import faults
from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState, all_racks, alone, find_rack, racks_folder, start_time
from tests.unit.bmsim.racks import rack


def created(folder: Path, name: str = "test") -> RackState:
    state = RackState(folder / name)
    state.create(rack().renamed(name))
    return state


def test_a_rack_comes_back_from_its_folder_passwords_included(tmp_path: Path) -> None:
    assert created(tmp_path).rack() == rack()


def test_a_rack_that_is_gone_says_so(tmp_path: Path) -> None:
    state = created(tmp_path)
    state.remove()
    with pytest.raises(RackError, match="rack test is gone"):
        state.rack()


def test_only_the_owner_may_look_into_the_folder(tmp_path: Path) -> None:
    state = created(tmp_path)
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.spec_file.stat().st_mode) == 0o600


def test_a_folder_too_deep_for_sockets_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    with pytest.raises(RackError, match="bytes too long"):
        created(deep)
    assert not deep.exists()


def test_a_folder_that_the_rack_would_cover_is_refused() -> None:
    with pytest.raises(RackError, match="below /run"):
        created(Path("/run/racks"))


def test_the_only_rack_needs_no_name_and_several_do(tmp_path: Path) -> None:
    with pytest.raises(RackError, match="no rack is up"):
        find_rack(tmp_path, None)
    first = created(tmp_path, "first")
    assert find_rack(tmp_path, None) == first
    created(tmp_path, "second")
    with pytest.raises(RackError, match="first, second"):
        find_rack(tmp_path, None)
    assert find_rack(tmp_path, "first") == first
    with pytest.raises(RackError, match="no rack third") as refused:
        find_rack(tmp_path, "third")
    assert refused.value.code == 3


def test_a_rack_is_dead_when_another_process_has_its_id(tmp_path: Path) -> None:
    state = created(tmp_path)
    assert state.supervisor() is None
    state.note_supervisor(os.getpid())
    assert state.supervisor() == os.getpid()
    state.process_file.write_text(json.dumps({"pid": os.getpid(), "start_time": 1}))
    assert state.supervisor() is None


def test_a_process_that_is_gone_has_no_start_time() -> None:
    assert start_time(os.getpid()) is not None
    assert start_time(2**22 + 1) is None


def test_racks_are_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BMSIM_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert racks_folder() == Path("/x/bmsim/racks")
    monkeypatch.setenv("BMSIM_STATE", "/y")
    assert racks_folder() == Path("/y")


def test_a_folder_without_racks_has_none(tmp_path: Path) -> None:
    (tmp_path / "something").mkdir()
    assert list(all_racks(tmp_path)) == []
    assert list(all_racks(tmp_path / "none")) == []


def test_only_one_at_a_time_changes_a_folder(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with alone(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with alone(tmp_path):
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_faults_of_a_bmc_are_handed_over_by_file_until_they_heal(tmp_path: Path) -> None:
    state = created(tmp_path)
    faults.inject(state, "n1", "bmc.silent", {})
    faults.inject(state, "n1", "bmc.busy", {"count": 2})
    assert json.loads(state.faults_file("n1").read_text()) == {"bmc.silent": {}, "bmc.busy": {"count": 2}}
    assert not state.faults_file("n2").exists()


@pytest.mark.parametrize(
    ("node", "fault", "parameters", "told"),
    [
        ("n9", "bmc.silent", {}, "no node or compute host n9"),
        ("n1", "bmc.unheard_of", {}, "there are: bmc.silent"),
        ("n1", "bmc.silent", {"count": 1}, "has no parameter count"),
        ("n1", "bmc.busy", {"cuont": 1}, "has no parameter cuont"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(
    tmp_path: Path, node: str, fault: str, parameters: dict[str, int], told: str
) -> None:
    state = created(tmp_path)
    with pytest.raises(RackError, match=told):
        faults.inject(state, node, fault, parameters)
    assert not state.faults_file("n1").exists()

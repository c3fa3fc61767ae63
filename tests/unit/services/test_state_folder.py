from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.core.errors import Conflict, PermanentError
from provisioner.services.state_folder import OnlyUser, StateFolder, holder_of
from provisioner.services.system import boot_id
from tests.unit.fakes import CountingIds

HOLD = """
import sys, signal
from pathlib import Path
from provisioner.services.state_folder import StateFolder
with StateFolder(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_a_second_process_is_refused_and_told_which_one_holds_it(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state"), pytest.raises(Conflict, match=f"process {os.getpid()} uses it"):
        StateFolder(tmp_path / "state").__enter__()


def test_a_killed_holder_leaves_nothing_to_clean_up(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=f"process {holder.pid}"):
            StateFolder(tmp_path).__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with StateFolder(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_made_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="state_dir"):
        StateFolder(tmp_path / "file" / "state").__enter__()


def test_processes_of_different_roles_share_the_folder_and_those_of_one_role_do_not(tmp_path: Path) -> None:
    with StateFolder(tmp_path, "api"), StateFolder(tmp_path, "compute"):
        for role in ("api", "compute", ""):
            with pytest.raises(Conflict, match=f"process {os.getpid()}"):
                StateFolder(tmp_path, role).__enter__()
    with StateFolder(tmp_path), pytest.raises(Conflict, match=f"process {os.getpid()} uses it"):
        StateFolder(tmp_path, "api").__enter__()


def test_a_database_for_one_process_is_refused_to_the_second_with_what_to_do(tmp_path: Path) -> None:
    def only() -> OnlyUser:
        return OnlyUser(tmp_path / "store.db", "Use PostgreSQL")

    with only(), pytest.raises(Conflict, match=f"process {os.getpid()} uses it. Use PostgreSQL"):
        only().__enter__()
    with only():
        pass


def test_who_starts_again_on_its_machine_is_known_and_who_has_a_copy_here_or_elsewhere_is_another(
    tmp_path: Path,
) -> None:
    folder, copy, ids = tmp_path / "state", tmp_path / "copy", CountingIds()
    with StateFolder(folder, "compute"):
        first = holder_of(folder, ids, boot=boot_id())
    shutil.copytree(folder, copy)
    with StateFolder(folder, "compute"), StateFolder(copy, "compute"):
        assert holder_of(folder, ids, boot=boot_id()) == first
        assert holder_of(copy, ids, boot=boot_id()) != first
        assert holder_of(copy, ids, boot="another machine's") != first
    with StateFolder(folder):
        assert holder_of(folder, ids, boot=boot_id()) == first, "in whatever role"
    assert holder_of(folder, ids) == holder_of(copy, ids), "where there can be no other machine"

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.core.errors import Conflict, PermanentError
from provisioner.services.state_folder import StateFolder

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

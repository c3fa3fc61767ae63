"""Bringing a rack up and taking it down, from outside."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from bmsim.backends.accelerator import Accelerator
from bmsim.rack.errors import RackError
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState, alone, start_time
from bmsim.sandbox.control import order

UP_DEADLINE_S = 60.0
DOWN_DEADLINE_S = 20.0

NEEDED = {
    "unshare": "util-linux",
    "ip": "iproute2",
    "libvirtd": "libvirt-daemon-system",
    "qemu-system-x86_64": "qemu-system-x86",
}


def up(rack: Rack, accelerator: Accelerator, folder: Path, owner: int | None = None) -> RackState:
    """Returns when machines are defined and all BMCs answer; the rack's state is a folder in `folder`.
    Raises RackError, leaving nothing behind.

    owner: reading end of a pipe; the rack ends when nobody holds the other end any more
    """
    _check_system()
    state = RackState(folder.absolute() / rack.name)
    with alone(state.folder.parent):
        if state.folder.exists():
            if state.is_up():
                raise RackError(
                    f"rack {rack.name} is up already; take it down by: bmsim rack down {rack.name}", code=4
                )
            state.remove()
        try:
            state.create(rack)
            state.note_supervisor(_launch(state, accelerator, owner))
        except BaseException:
            state.remove()
            raise
    return state


def down(state: RackState) -> None:
    """The rack's processes are gone, its state folder too. Idempotent; works on a dead rack."""
    if state.folder.parent.is_dir():
        with alone(state.folder.parent):
            _end(state)


def _end(state: RackState) -> None:
    pid = state.supervisor()
    if pid is not None:
        holder = _holder(pid)
        try:
            order(state, "stop")
        except RackError:
            _kill(pid)
        end = time.monotonic() + DOWN_DEADLINE_S
        while left := [one for one in (state.supervisor(), _alive(holder)) if one is not None]:
            if time.monotonic() > end:
                for one in left:
                    _kill(one)
            time.sleep(0.02)
    state.remove()


def _holder(init: int) -> tuple[int, int] | None:
    """The process that holds a rack's namespaces from outside, and its start: it ends just after the rack's
    first one. None where it was killed."""
    with suppress(OSError, IndexError):
        parent = int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1])
        start = start_time(parent)
        if start is not None and Path(f"/proc/{parent}/comm").read_text() == "unshare\n":
            return parent, start
    return None


def _alive(process: tuple[int, int] | None) -> int | None:
    return process[0] if process is not None and start_time(process[0]) == process[1] else None


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _check_system() -> None:
    if os.geteuid() != 0:
        raise RackError(
            "a rack needs namespaces and bridges, which only root may make: run it with sudo", code=2
        )
    missing = {package for program, package in NEEDED.items() if shutil.which(program) is None}
    if missing:
        raise RackError(
            f"packages are missing: {' '.join(sorted(missing))}; script/setup installs them", code=2
        )


def _launch(state: RackState, accelerator: Accelerator, owner: int | None) -> int:
    owners = () if owner is None else (owner,)
    ours, theirs = os.pipe()
    with state.log_file.open("ab") as log:
        unshare = subprocess.Popen(
            [
                *("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
                *("--propagation", "private", "--"),
                *(sys.executable, "-m", "bmsim.sandbox.init", str(state.folder)),
                *("kvm" if accelerator.kvm else "tcg", str(theirs), *map(str, owners)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(theirs, *owners),
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
    os.close(theirs)
    try:
        with os.fdopen(ours, "rb") as ready:
            os.set_blocking(ours, False)
            _await_ready(ready, unshare, state)
        return _only_child(unshare.pid)
    except BaseException:
        unshare.kill()
        unshare.wait()
        raise


def _await_ready(ready: object, unshare: subprocess.Popen[bytes], state: RackState) -> None:
    end = time.monotonic() + UP_DEADLINE_S
    while True:
        said = ready.read()  # type: ignore[attr-defined]
        if said == b"ready\n":
            return
        if said == b"" or unshare.poll() is not None:
            unshare.wait()
            told = state.log_file.read_text(errors="replace").strip()
            raise RackError(f"rack {state.name} did not come up: {told[-2000:] or 'it said nothing'}")
        if time.monotonic() > end:
            raise RackError(
                f"rack {state.name} did not come up within {UP_DEADLINE_S:.0f} s; {state.log_file} tells why"
            )
        time.sleep(0.02)


def _only_child(pid: int) -> int:
    """The rack's process 1, by its id here."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])

"""Running commands on a compute host of a rack."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState

# linux/sched.h, linux/prctl.h
CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID = 0x00020000, 0x40000000, 0x20000000
PR_SET_PDEATHSIG = 1

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def run_on_host(state: RackState, host: str, command: Sequence[str]) -> int:
    """Runs the command in the rack's namespaces and the host's network; returns its exit code (128 + n
    for signal n, as a shell does).

    It has our terminal and our working folder, gets our signals, dies with us, and with the rack.
    """
    pid = state.supervisor()
    if pid is None:
        raise RackError(
            f"rack {state.name} is not running; take it down by: bmsim rack down {state.name}", code=4
        )
    hosts = [known.name for known in state.rack().compute_hosts]
    if host not in hosts:
        raise RackError(f"rack {state.name} has no compute host {host} (it has: {', '.join(hosts)})", code=3)
    folder = Path.cwd()
    _enter(pid, host)
    with suppress(OSError):
        os.chdir(folder)
    # Until we pass them on: the command may have begun, and said so, before we do.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        _become(command)
    return _wait(child)


def _enter(pid: int, host: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    namespaces = (
        (f"/proc/{pid}/root/run/netns/{host}", CLONE_NEWNET),
        (f"/proc/{pid}/ns/pid", CLONE_NEWPID),
        (f"/proc/{pid}/ns/mnt", CLONE_NEWNS),
    )
    # All opened before the first is entered: /proc of the rack shows other ids.
    opened = [(os.open(path, os.O_RDONLY | os.O_CLOEXEC), kind) for path, kind in namespaces]
    for fd, kind in opened:
        if libc.setns(fd, kind) != 0:
            raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")
        os.close(fd)


def _become(command: Sequence[str]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and a command would inherit
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _wait(child: int) -> int:
    def forward(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    # The terminal sends these to the command as well; which of us ends is the command's choice.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code

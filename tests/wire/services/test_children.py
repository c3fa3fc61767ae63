from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL

import pytest

from provisioner.core.errors import PermanentError, TransientError
from provisioner.protocols.children import ChildResult, ChildTimedOut, SecretFile
from provisioner.services import children
from provisioner.services.children import SystemChildren
from tests.machine.commands import eventually
from tests.wire.services.conftest import play
from tests.wire.services.descriptors import descriptors_left
from tests.wire.services.segment import children_of

pytestmark = pytest.mark.wire

SECRET = "correct horse battery"


def run(*argv: str | SecretFile, timeout_s: float = 20.0) -> ChildResult:
    return play(lambda: SystemChildren().run(argv, timeout_s=timeout_s))


def test_a_child_gives_its_output_and_code() -> None:
    done = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.code, done.stdout, done.stderr, done.last_words()) == (3, "out\n", "err\n", "err")


def test_a_signal_that_ended_it_is_a_negative_code() -> None:
    assert run("sh", "-c", "kill -TERM $$").code == -signal.SIGTERM


def test_a_secret_comes_by_a_file_and_stands_nowhere_else() -> None:
    show = "cat $1; tr '\\0' ' ' < /proc/$$/cmdline; cat /proc/$$/environ; cat ${2#file=}"
    done = run("sh", "-c", show, "sh", SecretFile("", SECRET), SecretFile("file=", "another"))
    assert done.stdout.startswith(SECRET) and done.stdout.endswith("another")
    assert done.stdout.count(SECRET) == 1
    assert SECRET not in repr(SecretFile("", SECRET))


def test_a_child_inherits_no_variables_but_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONER_SECRET", SECRET)
    assert SECRET not in run("env").stdout


def test_what_a_child_leaves_behind_ends_with_it_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    helper = tmp_path / "helper"
    done = run("sh", "-c", f"sleep 600 & echo $! > {helper}; echo done")
    assert (done.code, done.stdout) == (0, "done\n")
    pid = int(helper.read_text())
    eventually("the helper is gone", lambda: not Path(f"/proc/{pid}/exe").exists(), 20)


def test_what_goes_into_a_session_of_its_own_keeps_nobody_waiting_either(tmp_path: Path) -> None:
    helper = tmp_path / "helper"
    try:
        done = run("sh", "-c", f"setsid sleep 600 & echo $! > {helper}; echo done")
    finally:
        os.kill(int(helper.read_text()), signal.SIGKILL)
    assert (done.code, done.stdout) == (0, "done\n")


def test_a_number_that_may_be_anothers_by_now_is_not_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long after a child has ended, that is: what it left was ended with it."""
    signalled: list[tuple[int, int]] = []
    ended = asyncio.Event()

    def signals(pid: int, number: int) -> None:
        signalled.append((pid, number))
        ended.set()
        raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", signals)

    async def story() -> int:
        async with SystemChildren().started(("true",)) as child:
            await child.wait()
            await ended.wait()
        return child.pid

    pid = play(story)
    assert signalled == [(pid, signal.SIGKILL)]


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(PermanentError, match="start no-such-program: it is not installed"):
        run("no-such-program")


THREADLESS = """
import asyncio, threading
from provisioner.services.children import SystemChildren, watch_without_threads

def none_left(self):
    raise RuntimeError("can't start new thread")

async def story():
    watch_without_threads()
    threading.Thread.start = none_left
    print((await SystemChildren().run(["echo", "done"], timeout_s=20.0)).stdout)

asyncio.run(story())
"""


def test_no_thread_is_needed_to_start_a_child() -> None:
    """The last process that a system has room for would run on unseen."""
    ended = subprocess.run([sys.executable, "-c", THREADLESS], capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "done", ended.stderr


def test_a_system_without_room_for_another_process_is_told() -> None:
    async def story() -> None:
        with descriptors_left(0):
            await SystemChildren().run(["true"], timeout_s=20.0)

    with pytest.raises(TransientError, match=r"start true: Too many open files.*limits"):
        play(story)


def test_of_what_a_child_prints_a_bounded_end_is_kept_and_it_is_never_blocked() -> None:
    done = run("sh", "-c", "for to in 1 2; do { head -c 3000000 /dev/zero; echo end $to; } >&$to; done")
    assert done.code == 0
    for told, end in ((done.stdout, "end 1\n"), (done.stderr, "end 2\n")):
        assert len(told) == children.MAX_OUTPUT_BYTES
        assert told.endswith(end)


def test_output_is_passed_on_as_it_comes() -> None:
    async def story() -> None:
        said = asyncio.Event()
        running = asyncio.ensure_future(
            SystemChildren().run(
                ["sh", "-c", "echo now; exec sleep 60"], timeout_s=50, on_stdout=lambda data: said.set()
            )
        )
        await said.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert children_of(os.getpid()) == []

    play(story)


def test_a_child_that_nobody_waits_for_any_more_is_no_error_of_the_loop() -> None:
    """asyncio logs, with a traceback, what nobody asks a future for that has failed."""
    told: list[object] = []

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: told.append(fault))
        said = asyncio.Event()
        argv = ["sh", "-c", "echo now; exec sleep 60"]
        running = asyncio.ensure_future(
            SystemChildren().run(argv, timeout_s=50, on_stdout=lambda data: said.set())
        )
        await said.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        del running
        gc.collect()

    play(story)
    assert told == []


def test_when_its_time_is_up_a_child_ends_with_its_own_children() -> None:
    """Its child, which tells when it runs, would hold the pipe open as long as it lives."""
    reading, writing = os.pipe()
    waits = f"sh -c 'echo waiting >&2; exec sleep 60' 3<>/proc/{os.getpid()}/fd/{writing}; exit"
    said = ""
    try:
        for timeout_s in (0.3, 1.0, 5.0, 20.0):
            with pytest.raises(ChildTimedOut) as caught:
                run("sh", "-c", waits, timeout_s=timeout_s)
            if said := caught.value.stderr:
                break  # else its time was up before it ran
        assert said == "waiting\n"
    finally:
        os.close(writing)
    ended, _, _ = select.select([reading], [], [], 30)
    assert ended and os.read(reading, 1) == b"", "nobody has it open for writing any more"
    os.close(reading)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_owner(end: signal.Signals, tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "fifo")], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "started\n"
    (child,) = children_of(owner.pid)
    watched = os.pidfd_open(child)
    owner.send_signal(end)
    owner.communicate()

    async def ended() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(watched, gone.set)
        await gone.wait()

    play(ended)
    os.close(watched)


OWNER = """
import asyncio
from provisioner.services.children import SystemChildren

async def main():
    async with SystemChildren().started(["sh", "-c", "echo started; exec sleep 600"]) as child:
        print((await child.stdout.readline()).decode(), end="", flush=True)
        await child.wait()

asyncio.run(main())
"""


def test_a_child_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    """The kernel signals the death of a parent only to those who asked before it."""
    trace = tmp_path / "started"
    done = subprocess.run([*children._GUARD, "1", "touch", str(trace)], check=False)
    assert done.returncode != 0
    assert not trace.exists()


def told_by(*argv: str | SecretFile, stdin: int = DEVNULL) -> tuple[str, str, int]:
    """What a child printed, what was told of it, and its process id."""

    async def story() -> tuple[str, str, int]:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            async with SystemChildren(writing).started(argv, stdin=stdin) as child:
                printed = (await child.stdout.read()).decode()
                return printed, os.read(reading, 4096).decode(), child.pid
        finally:
            os.close(reading)
            os.close(writing)

    return play(story)


def test_a_child_is_told_of_before_its_program_begins_and_has_nothing_of_the_pipe() -> None:
    show = 'for fd in /proc/$$/fd/*; do readlink "$fd"; done; cat "$1" -'
    printed, told, pid = told_by("sh", "-c", show, "sh", SecretFile("", SECRET))
    assert told == f"child {pid}\n"
    opened = printed.splitlines()
    assert opened[0] == "/dev/null" and opened[-1] == SECRET
    assert len([one for one in opened if one.startswith("pipe:")]) == 3  # its outputs, and the secret


def test_a_child_that_is_told_of_has_the_input_that_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("given")
    with (tmp_path / "input").open() as given:
        printed, told, pid = told_by("cat", stdin=given.fileno())
    assert (printed, told) == ("given", f"child {pid}\n")


def test_nobody_who_reads_what_is_told_keeps_no_child_from_starting() -> None:
    async def story() -> str:
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            with suppress(BlockingIOError):
                while True:
                    os.write(writing, bytes(4096))
            done = await SystemChildren(writing).run(["echo", "done"], timeout_s=20)
            return done.stdout + done.stderr
        finally:
            os.close(reading)
            os.close(writing)

    assert play(story) == "done\n"


def test_descriptors_are_given_back() -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def story(count: Callable[[], int]) -> None:
        await SystemChildren().run(["cat", SecretFile("", SECRET)], timeout_s=20)
        before = count()
        for told in (None, None, sys.stderr.fileno(), sys.stderr.fileno()):
            await SystemChildren(told).run(["cat", SecretFile("", SECRET)], timeout_s=20)
        assert count() == before

    play(lambda: story(opened))


@pytest.mark.parametrize("rounds", range(5))
def test_a_child_that_is_cancelled_while_it_starts_ends_with_its_own_children(
    rounds: int, tmp_path: Path
) -> None:
    """Its program may run before the loop has its pipes. rounds: of the loop, since it was forked."""
    pid_file = tmp_path / "pid"

    async def story() -> None:
        words = ["sh", "-c", f"sleep 600 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"]
        running = asyncio.ensure_future(SystemChildren().run(words, timeout_s=50))
        while not children_of(os.getpid()):
            await asyncio.sleep(0)
        for _ in range(rounds):
            await asyncio.sleep(0)
        eventually("its own child runs", pid_file.exists, 30, 0.01)  # and the loop stands still
        running.cancel()
        await asyncio.wait([running], timeout=20)
        assert running.cancelled()

    play(story)
    own_child = int(pid_file.read_text())
    # Nobody may have reaped it yet.
    eventually("it has ended", lambda: state_of(own_child) in ("Z", ""), 30, 0.01)


def state_of(pid: int) -> str:
    """proc(5); "" of one that is no more."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""

"""A command on a compute host is like a command here, but for the network that it sees."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmsim.api import RunningRack
from tests.wire.bmsim.conftest import rack_file
from tests.wire.bmsim.traces import eventually, processes

pytestmark = [pytest.mark.wire, pytest.mark.rack]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRack]:
    """One for all: commands leave it as it was."""
    with RunningRack.up(rack_file(), tmp_path_factory.mktemp("exec")) as rack:
        yield rack


def output(rack: RunningRack, *words: str, host: str = "ch1") -> str:
    return str(rack.run(host, words, capture_output=True, text=True, check=True).stdout)


def test_it_sees_its_hosts_network_alone(rack: RunningRack) -> None:
    seen = output(rack, "ip", "-brief", "address", host="ch2")
    assert [line.split("@")[0].split()[0] for line in seen.splitlines()] == ["lo", "prov0", "mgmt0"]
    assert "10.77.0.11/24" in seen
    assert "10.78.0.11/24" in seen
    assert "fd00:0:a4d::2/64" in seen


def test_it_sees_the_processes_of_the_rack_alone(rack: RunningRack) -> None:
    seen = output(rack, "ps", "-e", "-o", "pid=,args=").splitlines()
    assert seen[0].split()[0] == "1"
    assert "bmsim.sandbox.init" in seen[0]
    assert len(seen) < 10


def test_compute_hosts_reach_each_other_and_the_bmcs(rack: RunningRack) -> None:
    for address in ("10.77.0.11", "10.78.0.11", "10.78.0.101"):
        connect = f"import socket; socket.create_connection(({address!r}, 9), timeout=5)"
        done = rack.run("ch1", ["python3", "-c", connect], capture_output=True, text=True)
        assert "ConnectionRefusedError" in done.stderr, "who refuses is there"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["there-is-no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_its_exit_code_is_ours(rack: RunningRack, words: list[str], code: int) -> None:
    assert rack.run("ch1", words, stderr=subprocess.DEVNULL).returncode == code


def test_an_unknown_host_is_refused_naming_the_known(rack: RunningRack) -> None:
    done = rack.run("ch9", ["true"], capture_output=True, text=True)
    assert done.returncode == 3
    assert "ch1, ch2" in done.stderr


def test_streams_options_and_the_working_folder_pass_through(rack: RunningRack, tmp_path: Path) -> None:
    words = ["sh", "-c", 'cat; pwd; echo "$@" >&2', "sh", "--rack", "-r", "--help", "--"]
    package = str(Path(__file__).parents[3])
    done = rack.run(
        "ch1",
        words,
        input="typed\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert (done.returncode, done.stdout) == (0, f"typed\n{tmp_path}\n")
    assert done.stderr == "--rack -r --help --\n"


def test_a_reader_that_leaves_ends_the_command_as_it_would_here(rack: RunningRack) -> None:
    with rack.popen("ch1", ["yes"], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"y\n"
        command.stdout.close()
        assert command.wait(timeout=30) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(rack: RunningRack, number: signal.Signals) -> None:
    script = f"trap 'echo heard; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"

    def heed() -> None:  # under nohup our children would be born deaf to SIGHUP
        signal.signal(number, signal.SIG_DFL)

    with rack.popen(
        "ch1", ["sh", "-c", script], stdout=subprocess.PIPE, text=True, preexec_fn=heed
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        command.send_signal(number)
        assert command.stdout.readline() == "heard\n"
        assert command.wait(timeout=30) == 5


def test_it_has_our_terminal(rack: RunningRack) -> None:
    ours, theirs = pty.openpty()
    words = ["sh", "-c", "test -t 0 && test -t 1 && echo a-terminal"]
    assert rack.run("ch1", words, stdin=theirs, stdout=theirs).returncode == 0
    assert b"a-terminal" in os.read(ours, 100)
    os.close(ours)
    os.close(theirs)


def test_it_dies_with_who_asked_for_it(rack: RunningRack, mark: str) -> None:
    def sleepers() -> list[str]:
        return [command for command in processes(mark).values() if command == "sleep 1001 "]

    command = rack.popen("ch1", ["sleep", "1001"])
    eventually("the command runs", sleepers)
    command.kill()
    command.wait()
    eventually("it is gone", lambda: not sleepers())


def test_it_is_told_when_the_rack_is_dead(tmp_path: Path) -> None:
    rack = RunningRack.up(rack_file(), tmp_path)
    pid = rack.state.supervisor()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually("the rack is dead", lambda: rack.state.supervisor() is None)
    done = rack.run("ch1", ["true"], capture_output=True, text=True)
    assert done.returncode == 4
    assert "bmsim rack down test" in done.stderr
    rack.down()

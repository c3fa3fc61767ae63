"""The machine's console over the LAN: whole, in order, both ways, for one session at a time."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.bmsim.bmc import DEADLINE_S, PASSWORD, USER, Bmc, eventually

pytestmark = pytest.mark.wire


class Client:
    """`ipmitool sol activate` on a terminal."""

    def __init__(self, bmc: Bmc) -> None:
        self.terminal, theirs = os.openpty()
        # ipmitool does so too, after the BMC has noted it: a CR that is typed before would be LF.
        tty.setraw(theirs)
        self.process = subprocess.Popen(
            [*bmc.ipmitool_command(), "sol", "activate"],
            env=os.environ | {"IPMI_PASSWORD": PASSWORD},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        self.seen = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def ends(self) -> str:
        """What it complained of."""
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        os.close(self.terminal)

    def _read(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 65536):
            self.seen += data


@contextmanager
def console(bmc: Bmc) -> Iterator[Client]:
    client = Client(bmc)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def listening(bmc: Bmc) -> Iterator[Client]:
    def activated() -> int:
        return sum(entry.result == "ok" for entry in bmc.entries("sol.activate"))

    before = activated()
    with console(bmc) as client:
        # Not by ipmitool's own words, which wait in its buffer for the console's first.
        eventually(lambda: activated() > before, "the console is open")
        yield client


def test_ipmitool_shows_what_the_machine_says_from_then_on(bmc: Bmc) -> None:
    bmc.console_says(b"before\r\n")
    with listening(bmc) as client:
        bmc.console_says(b"Welcome to GRUB!\r\n")
        eventually(lambda: b"Welcome to GRUB!" in client.seen, "the console's line is shown")
        assert b"before" not in client.seen


def test_a_whole_boot_arrives_without_a_gap(bmc: Bmc) -> None:
    with listening(bmc) as client:
        for begin in range(0, 5000, 50):
            bmc.console_says(b"".join(b"<%05d>\r\n" % number for number in range(begin, begin + 50)))
        eventually(lambda: b"<04999>" in client.seen, "the last line is shown")
        numbers = [int(number) for number in re.findall(rb"<(\d{5})>", client.seen)]
        assert numbers == list(range(5000))


def test_what_is_typed_reaches_the_machine(bmc: Bmc) -> None:
    with socket.socket(socket.AF_UNIX) as machine:
        machine.bind(str(bmc.folder / "console.sock"))
        machine.listen(1)
        machine.settimeout(DEADLINE_S)
        with listening(bmc) as client:
            client.type(b"root\r")
            line, _ = machine.accept()
            with line:
                line.settimeout(DEADLINE_S)
                typed = b""
                while b"root\r" not in typed:
                    typed += line.recv(100)
                # What the socket says too is not said twice.
                line.sendall(b"Password: ")
                bmc.console_says(b"Password: ")
                eventually(lambda: b"Password: " in client.seen, "the answer is shown")
                client.type(b"secret\r")
                while b"secret\r" not in typed:
                    typed += line.recv(100)
        assert client.seen.count(b"Password: ") == 1


def test_what_is_typed_at_a_machine_that_is_off_is_lost_and_does_no_harm(bmc: Bmc) -> None:
    with listening(bmc) as client:
        client.type(b"anybody there?\r")
        bmc.console_says(b"no\r\n")
        eventually(lambda: b"no\r\n" in client.seen, "the console goes on")


def test_the_console_goes_on_in_a_log_that_begins_anew(bmc: Bmc) -> None:
    with listening(bmc) as client:
        bmc.console_says(b"first\r\n")
        eventually(lambda: b"first" in client.seen, "the old log is shown")
        (bmc.folder / "console.log").rename(bmc.folder / "console.log.1")
        bmc.console_says(b"second\r\n")
        eventually(lambda: b"second" in client.seen, "the new log is shown")


def test_a_second_session_is_refused_while_the_first_listens(bmc: Bmc) -> None:
    with listening(bmc) as first, console(bmc) as second:
        assert "already active on another session" in second.ends()
        bmc.console_says(b"still here\r\n")
        eventually(lambda: b"still here" in first.seen, "the first still listens")
    assert bmc.entries("sol.activate")[1].result.startswith("0x80")


def test_a_deactivation_from_elsewhere_lets_another_session_take_over(bmc: Bmc) -> None:
    with listening(bmc) as first:
        assert bmc.ipmitool("sol", "deactivate").code == 0
        with listening(bmc) as second:
            bmc.console_says(b"hello again\r\n")
            eventually(lambda: b"hello again" in second.seen, "the second listens")
        assert b"hello again" not in first.seen


def test_deactivating_what_isnt_active_is_refused(bmc: Bmc) -> None:
    answer = bmc.ipmitool("sol", "deactivate")
    assert "already de-activated" in answer.err or "deactivated" in answer.err, answer


def test_a_session_that_is_closed_gives_the_console_free(bmc: Bmc) -> None:
    with listening(bmc) as first:
        first.type(b"~.")
        first.ends()
    with listening(bmc):
        assert len(bmc.entries("sol.activate")) == 2


def test_a_power_cycle_doesnt_end_the_console(bmc: Bmc) -> None:
    with listening(bmc) as client:
        assert bmc.power("cycle").code == 0
        bmc.console_says(b"SeaBIOS\r\n")
        eventually(lambda: b"SeaBIOS" in client.seen, "the console goes on")


PYGHMI = """
import json, sys
from pyghmi.ipmi.console import Console
address, port, user, password = json.load(sys.stdin)
said = b""
def heard(data):
    global said
    if isinstance(data, dict):
        sys.exit(f"the console ended: {data}")
    said += data if isinstance(data, bytes) else data.encode()
console = Console(address, user, password, heard, port=port)
while not console.connected:
    console.wait_for_rsp(0.1)
print("ready", flush=True)
while b"END" not in said:
    console.wait_for_rsp(0.5)
console.close()
sys.stdout.write(said.decode())
"""


def test_pyghmis_console_shows_the_same(bmc: Bmc) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PYGHMI], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(json.dumps([bmc.address, bmc.port, USER, PASSWORD]))
        client.stdin.close()
        assert client.stdout.readline() == "ready\n"
        lines = "".join(f"line {number}\n" for number in range(500))
        bmc.console_says(lines.encode() + b"END\n")
        assert client.stdout.read() == lines + "END\n"
        assert client.wait(DEADLINE_S) == 0

"""Commands that are watched as they go on: until the end, until Ctrl-C, on a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import signal
import subprocess

import pytest

from tests.wire.cli.conftest import PROVISIONER, Service, watched

pytestmark = pytest.mark.wire


def test_a_console_is_followed_as_it_speaks_until_ctrl_c(service: Service) -> None:
    node = service.json("node", "show", "n1")["id"]
    log = service.state / "consoles" / f"{node}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("before\n")
    with watched(service.process("node", "console", "n1", "--follow")) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "before\n"
        with log.open("a") as file:
            file.write("after\n")
        assert following.stdout.readline() == "after\n"
        following.send_signal(signal.SIGINT)
        _, told = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "Traceback" not in told
    assert service.cli("node", "console", "n1").out == "before\nafter\n"


def test_ctrl_c_ends_the_watching_and_not_the_request(service: Service) -> None:
    words = ("instance", "create", "patient", "--image", "root", "--flavor", "huge", "--wait")
    with watched(service.process(*words)) as watching:
        assert watching.stdout is not None
        assert "999 are needed" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert "provisioner instance wait patient" in told
    assert service.json("instance", "show", "patient")["state"] == "requested"
    service.json("instance", "delete", "patient")


def test_an_instance_that_is_not_there_in_time_is_said_to_be_where_it_is(service: Service) -> None:
    words = (
        "instance",
        "create",
        "late",
        "--image",
        "root",
        "--flavor",
        "huge",
        "--wait",
        "--timeout",
        "0.5",
    )
    assert "late is still requested" in service.refused(1, *words)
    service.json("instance", "delete", "late")


def test_on_a_terminal_it_is_drawn_and_its_cursor_comes_back(service: Service) -> None:
    ours, theirs = pty.openpty()
    argv = service.argv("instance", "create", "drawn", "--image", "root", "--wait")
    drawing = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env={**service.environment, "TERM": "xterm"}
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := _read(ours):
            said += chunk
        assert drawing.wait(timeout=30) == 0
    finally:
        drawing.kill()
        drawing.wait()
        os.close(ours)
    service.json("instance", "delete", "drawn", "--wait")
    text = said.decode()
    assert "✓" in text
    assert "active" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: nobody has the other end any longer (pty(7))
        return b""


def test_a_reader_that_has_enough_is_no_error_to_shout_about(service: Service) -> None:
    line = f"{PROVISIONER} openapi | head -n 1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr

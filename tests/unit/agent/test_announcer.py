"""The agent makes itself known, to whichever compute host answers."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from provisioner.agent.announcer import Announcer
from tests.serving import serving

TOKEN = "t" * 32
DEADLINE_S = 10.0


class Listener(http.server.ThreadingHTTPServer):
    """A compute host that answers announcements with the next of `answers`, the last one for ever."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        listener = self

        class Request(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                listener.heard.append((self.headers["Authorization"], body))
                answers = listener.answers
                self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/agent/v1/hello"

    def wait_until_heard(self, count: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while len(self.heard) < count:
            assert time.monotonic() < deadline, f"{len(self.heard)} announcements, {count} were expected"
            threading.Event().wait(0.01)


@pytest.fixture
def listening() -> Iterator[Callable[..., Listener]]:
    """Makes one with these answers."""
    with ExitStack() as stack:
        yield lambda *answers: stack.enter_context(serving(Listener(*answers)))


def announce(said: list[str], *urls: str, heartbeat_s: float = 60.0) -> Announcer:
    announcer = Announcer(
        urls,
        token=TOKEN,
        describe=lambda address: {"node": "n1", "address": address},
        say=said.append,
        heartbeat_s=heartbeat_s,
        first_retry_s=0.01,
    )
    announcer.start()
    return announcer


def test_it_says_who_it_is_by_the_address_that_is_seen(listening: Callable[..., Listener]) -> None:
    listener, said = listening(204), list[str]()
    announcer = announce(said, listener.url)
    listener.wait_until_heard(1)
    announcer.stop()
    assert listener.heard == [(f"Bearer {TOKEN}", {"node": "n1", "address": "127.0.0.1"})]
    assert said == [f"reported to {listener.url}"]


def test_it_goes_on_until_one_compute_host_hears_it(listening: Callable[..., Listener]) -> None:
    deaf, other, said = listening(503), listening(503, 503, 200), list[str]()
    announcer = announce(said, deaf.url, other.url)
    other.wait_until_heard(3)
    announcer.stop()
    assert len(deaf.heard) == 3
    assert any("answered 503" in line for line in said)


def test_a_dead_compute_host_is_passed_over(listening: Callable[..., Listener]) -> None:
    with serving(Listener(200)) as gone:
        pass
    listener = listening(200)
    announcer = announce([], gone.url, listener.url)
    listener.wait_until_heard(1)
    announcer.stop()


def test_it_keeps_saying_so_as_a_heartbeat(listening: Callable[..., Listener]) -> None:
    listener = listening(200)
    announcer = announce([], listener.url, heartbeat_s=0.02)
    listener.wait_until_heard(5)
    announcer.stop()


def test_the_token_is_never_said(listening: Callable[..., Listener]) -> None:
    listener, said = listening(401, 200), list[str]()
    announcer = announce(said, listener.url)
    listener.wait_until_heard(2)
    announcer.stop()
    assert TOKEN not in "".join(said)

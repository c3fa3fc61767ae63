"""Orders whose answer is lost on its way from a real provisioner: they are carried out once."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Event

import pytest

from provisioner.cli import repeating
from tests.serving import serving
from tests.wire.cli.conftest import DEADLINE_S, Service, watched

pytestmark = pytest.mark.wire

ORDER = ("instance", "create", "web", "--image", "root")


class Relay(ThreadingUnixStreamServer):
    """Before the API: passes requests on, one by each connection, and loses the first `lost` answers; the
    first one when it `may_lose` it."""

    daemon_threads = True

    def __init__(self, service: Service, lost: int) -> None:
        self.lost = lost
        self.has_lost, self.may_lose = Event(), Event()
        self.answers: list[bytes] = []
        relay = self

        class Passing(StreamRequestHandler):
            def handle(self) -> None:
                request = self.rfile.readline()
                while not request.endswith(b"\r\n\r\n"):
                    request += self.rfile.readline()
                length = re.search(rb"content-length: (\d+)", request, re.IGNORECASE)
                request += self.rfile.read(int(length.group(1)) if length else 0)
                answer = asked(service.socket, request)
                relay.answers.append(answer)
                if len(relay.answers) > relay.lost:
                    self.wfile.write(answer)
                elif len(relay.answers) == 1:
                    relay.has_lost.set()
                    relay.may_lose.wait(DEADLINE_S)

        self.path = service.folder / "relay.sock"
        super().__init__(str(self.path), Passing)


def asked(path: Path, request: bytes) -> bytes:
    """The API's whole answer."""
    with socket.socket(socket.AF_UNIX) as api:
        api.settimeout(DEADLINE_S)
        api.connect(str(path))
        api.sendall(request.replace(b"onnection: keep-alive", b"onnection: close"))
        return b"".join(iter(lambda: api.recv(65536), b""))


@contextmanager
def relayed(service: Service, lost: int) -> Iterator[Relay]:
    relay = Relay(service, lost)
    try:
        with serving(relay):
            yield relay
    finally:
        with suppress(FileNotFoundError):
            relay.path.unlink()


def instances(service: Service) -> list[str]:
    return [one["id"] for one in service.json("instance", "list")]


def test_an_order_outlasts_answers_that_are_lost_and_an_api_that_is_killed_over_it(
    own_service: Service,
) -> None:
    own_service.register_images()
    with relayed(own_service, 2) as relay:
        where = ("--url", f"unix:{relay.path}", "--token-file", str(own_service.state / "admin.token"))
        with watched(own_service.process(*where, *ORDER, "--json")) as ordering:
            assert relay.has_lost.wait(DEADLINE_S)
            own_service.end(signal.SIGKILL)
            own_service.start()
            relay.may_lose.set()
            told, errors = ordering.communicate()
        assert ordering.returncode == 0, errors
    assert [answer.split()[1] for answer in relay.answers] == [b"202"] * 3
    (made,) = instances(own_service)
    assert f'"id": "{made}"' in told


def test_an_order_that_is_given_up_is_repeated_by_the_key_that_is_told(
    own_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_service.register_images()
    monkeypatch.setattr(repeating, "GIVEN_UP_S", 0.0)
    with relayed(own_service, 1) as relay:
        relay.may_lose.set()
        told = own_service.refused(5, "--url", f"unix:{relay.path}", *ORDER)
    (made,) = instances(own_service)
    key = re.search(r"--idempotency-key (\S+),", told)
    assert key is not None, told
    assert own_service.json(*ORDER, "--idempotency-key", key.group(1))["id"] == made
    assert instances(own_service) == [made]
    # Another order is none of its repetitions.
    assert "its body differs" in own_service.refused(
        4, *ORDER, "--zone", "z", "--idempotency-key", key.group(1)
    )

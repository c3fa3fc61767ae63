"""What the CLI asks of the API, as it stands on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from provisioner.cli.main import app

PROBLEM = b'{"code": "not-found", "title": "there is no such thing"}'


class _Handler(BaseHTTPRequestHandler):
    asked: list[str]

    def _refuse(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(404)
        self.send_header("content-length", str(len(PROBLEM)))
        self.end_headers()
        self.wfile.write(PROBLEM)

    do_GET = do_PUT = do_POST = do_DELETE = _refuse

    def log_message(self, format: str, *args: object) -> None:
        pass


class Listener:
    """An API that has nothing, and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        handler = type("Handler", (_Handler,), {"asked": self.asked})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._token = folder / "token"
        self._token.write_text("a-token\n")

    def told(self, *words: str) -> str:
        """What one command asks for."""
        self.asked.clear()
        where = ["--url", f"http://127.0.0.1:{self.server.server_port}", "--token-file", str(self._token)]
        result = CliRunner().invoke(app, [*where, *words])
        assert result.exit_code != 0
        (asked,) = self.asked
        return asked


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    thread = Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield listener
    finally:
        listener.server.shutdown()
        listener.server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("key", "delete", "prod?old"), "DELETE /v1/keys/prod%3Fold"),
        (("token", "delete", "a#b"), "DELETE /v1/tokens/a%23b"),
        (("instance", "delete", "web?x"), "DELETE /v1/instances/web%3Fx"),
        (("instance", "show", "a b%41"), "GET /v1/instances/a%20b%2541"),
        (("instance", "console", "web#1"), "GET /v1/instances/web%231/console?tail_bytes=1048576"),
        (("instance", "wait", "web?x"), "GET /v1/instances/web%3Fx"),
        (("node", "delete", "n1/maintenance"), "DELETE /v1/nodes/n1%2Fmaintenance"),
        (("node", "maintenance", "n1?", "off"), "DELETE /v1/nodes/n1%3F/maintenance"),
        (("image", "delete", "a?b"), "DELETE /v1/images/a%3Fb"),
        (("host", "forget", "a?b"), "DELETE /v1/hosts/a%3Fb"),
        (("flavor", "show", "a?b"), "GET /v1/flavors/a%3Fb"),
        (("user", "set-role", "a?b", "reader"), "PUT /v1/users/a%3Fb"),
        (("access-key", "delete", "a?b"), "DELETE /v1/access-keys/a%3Fb"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_name_is_asked_for_as_it_is_written(listener: Listener, words: tuple[str, ...], asked: str) -> None:
    assert listener.told(*words) == asked

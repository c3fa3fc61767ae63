"""An API that the CLI's commands are told of in place of a provisioner's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from provisioner.cli.main import app
from tests.serving import serving

BUSY = {"code": "transient", "title": "too many wait"}


class Listener:
    """Answers all alike, and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.status = 404
        self.answer: Any = {"code": "not-found", "title": "there is no such thing"}
        self.asked: list[str] = []
        self.sent: list[Any] = []  # what came with it
        self.keys: list[str | None] = []  # by which an order is known again
        self.later: Any = None  # the answer after the first, if it is another
        self.lost = 0  # so many answers never come: the connection breaks
        self.busy = 0  # so many, after those, are 503
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                listener.asked.append(f"{self.command} {self.path}")
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                listener.sent.append(json.loads(sent) if sent else None)
                listener.keys.append(self.headers.get("idempotency-key"))
                if len(listener.asked) <= listener.lost:
                    self.close_connection = True
                    return
                if len(listener.asked) <= listener.lost + listener.busy:
                    self._tell(503, BUSY, {"retry-after": "1"})
                    return
                later = listener.later is not None and len(listener.asked) > 1
                self._tell(listener.status, listener.later if later else listener.answer, {})

            def _tell(self, status: int, answer: Any, headers: dict[str, str]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.token = folder / "token"
        self.token.write_text("a-token\n")

    def end(self) -> None:
        """Returns when nobody listens any more."""
        self.server.shutdown()
        self.server.server_close()

    def run(self, *words: str, exit_code: int = 0) -> str:
        """What a command prints."""
        where = ["--url", self.url, "--token-file", str(self.token)]
        result = CliRunner().invoke(app, [*where, *words])
        assert result.exit_code == exit_code, result.output
        return result.output


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    with serving(listener.server):
        yield listener

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


class Listener:
    """Answers all alike, and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.status = 404
        self.answer: Any = {"code": "not-found", "title": "there is no such thing"}
        self.asked: list[str] = []
        self.sent: list[Any] = []  # what came with it
        self.later: Any = None  # the answer after the first, if it is another
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                listener.asked.append(f"{self.command} {self.path}")
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                listener.sent.append(json.loads(sent) if sent else None)
                later = listener.later is not None and len(listener.asked) > 1
                body = json.dumps(listener.later if later else listener.answer).encode()
                self.send_response(listener.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._token = folder / "token"
        self._token.write_text("a-token\n")

    def run(self, *words: str, exit_code: int = 0) -> str:
        """What a command prints."""
        where = ["--url", f"http://127.0.0.1:{self.server.server_port}", "--token-file", str(self._token)]
        result = CliRunner().invoke(app, [*where, *words])
        assert result.exit_code == exit_code, result.output
        return result.output


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    with serving(listener.server):
        yield listener

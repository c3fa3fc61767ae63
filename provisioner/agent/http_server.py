"""The agent's HTTP face. Every request carries the node's token; nobody without it learns anything.

One connection, one request: an idle connection never holds one of the few threads.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import socket
import socketserver
import threading
from _operator import _compare_digest
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from provisioner.agent import VERSION
from provisioner.agent.board import CommandBoard
from provisioner.agent.errors import Refusal

MAX_BODY_BYTES = 16 * 2**20  # the files of a config drive, in base64
MAX_CONNECTIONS = 32
MAX_CONNECTIONS_PER_PEER = 16
SOCKET_TIMEOUT_S = 10.0
MAX_WAIT_S = 60.0
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
COMMAND_PATH = re.compile(r"/v1/commands/([A-Za-z0-9._-]{1,128})")

Status = Callable[[], "dict[str, Any]"]


class AgentServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], *, token: str, board: CommandBoard, status: Status) -> None:
        self.token = token.encode()
        self.board = board
        self.status = status
        self._peers: Counter[str] = Counter()
        self._peers_lock = threading.Lock()
        super().__init__(address, AgentRequest)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's looks up a host name: seconds without DNS
        self.server_name, self.server_port = "agent", self.server_address[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Bounds the threads, in all and for one peer."""
        peer = str(client_address[0])
        with self._peers_lock:
            full = sum(self._peers.values()) >= MAX_CONNECTIONS
            if full or self._peers[peer] >= MAX_CONNECTIONS_PER_PEER:
                with contextlib.suppress(OSError):
                    request.sendall(BUSY)
                return False
            self._peers[peer] += 1
            return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._peers_lock:
                self._peers[str(client_address[0])] -= 1
                self._peers += Counter()  # forgets peers without connections

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away in mid-request is none of our business."""


class AgentRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"provisioner-agent/{VERSION}"
    sys_version = ""
    timeout = SOCKET_TIMEOUT_S
    server: AgentServer

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _get(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/status":
            return 200, self.server.status()
        wait_s = _number(query.get("wait_s", "0"), "wait_s", MAX_WAIT_S)
        return 200, self.server.board.get(_command_id(path), wait_s)

    def _put(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        return 202, self.server.board.put(_command_id(path), self._body())

    def _delete(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if not re.fullmatch(r"\d{1,18}", query.get("fence", "")):
            raise Refusal(400, "invalid-fence", "DELETE needs ?fence=<whole number>")
        return 202, self.server.board.cancel(_command_id(path), int(query["fence"]))

    def _answer(self, handle: Callable[[str, dict[str, str]], tuple[int, dict[str, Any]]]) -> None:
        try:
            self._authenticate()
            url = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            status, body = handle(url.path, query)
        except Refusal as refusal:
            self._refuse(refusal)
        except ValueError as error:  # what urlsplit makes of a broken URL
            self._refuse(Refusal(400, "malformed-request", str(error)))
        else:
            self._send(status, body, "application/json")

    def _authenticate(self) -> None:
        given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not _compare_digest(given, b"Bearer " + self.server.token):
            raise Refusal(401, "unauthorized", "the bearer token is missing or not this node's")

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,12}", length):
            raise Refusal(411, "length-required", "the request needs a Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise Refusal(413, "body-too-large", f"the body is larger than {MAX_BODY_BYTES} bytes")
        data = self.rfile.read(int(length))
        try:
            body = json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "malformed-json", f"the body is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refusal(400, "malformed-json", "the body must be a JSON object")
        return body

    def _refuse(self, refusal: Refusal) -> None:
        self._send(refusal.status, _problem(refusal), "application/problem+json")

    def _send(self, status: int, body: dict[str, Any], content_type: str) -> None:
        data = json.dumps(body).encode()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself finds wrong (request line, headers, method), in our form."""
        self._refuse(Refusal(code, "malformed-request", message or "the request is malformed"))

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the console is for the operator, and the board tells of commands."""


def _problem(refusal: Refusal) -> dict[str, Any]:
    """RFC 9457, with `code` for programs."""
    problem = {"type": "about:blank", "title": refusal.code.replace("-", " "), "status": refusal.status}
    return {**problem, "detail": refusal.detail, "code": refusal.code, **refusal.fields}


def _command_id(path: str) -> str:
    match = COMMAND_PATH.fullmatch(path)
    if match is None:
        raise Refusal(404, "not-found", "there are /v1/status and /v1/commands/<id>")
    return match.group(1)


def _number(text: str, name: str, maximum: float) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        raise Refusal(400, "malformed-request", f"{name} must be a number of seconds")
    return min(float(text), maximum)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

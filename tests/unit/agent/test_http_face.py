"""Whatever comes in over HTTP, the agent answers in its own form and lives on."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from http.client import HTTPException
from typing import Any

import pytest

from provisioner.agent.errors import Refusal
from provisioner.agent.http_server import MAX_BODY_BYTES, MAX_CONNECTIONS_PER_PEER
from provisioner.agent.params import Params
from tests.agent_peer import AgentPeer
from tests.unit.agent.stage import TOKEN, Stage

Agent = tuple[Stage, AgentPeer]


def raw(peer: AgentPeer, request: bytes) -> tuple[int, dict[str, Any]]:
    with socket.create_connection((peer.address, peer.port), timeout=10) as connection:
        connection.sendall(request)
        with suppress(OSError):  # one that is refused before it was read is closed by then
            connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body else {}


def authorized(request: str, headers: str = "", body: bytes = b"") -> bytes:
    return f"{request} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n{headers}\r\n".encode() + body


@pytest.mark.parametrize(
    "header", ["", "Bearer ", "Bearer 0123456789abcdef", f"Basic {TOKEN}", "Bearer \xe9\xe9"]
)
def test_without_the_token_nothing_is_told(agent: Agent, header: str) -> None:
    stage, peer = agent
    lines = f"Authorization: {header}\r\n" if header else ""
    for request in ("GET /v1/status", "PUT /v1/commands/a", "DELETE /v1/commands/a?fence=1"):
        status, problem = raw(peer, f"{request} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        assert (status, problem["code"]) == (401, "unauthorized")
    assert stage.acts == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (b"[]", "malformed-json"),
        (b"\xff\xfe", "malformed-json"),
        (b"[" * 100_000, "malformed-json"),
        (b'{"name": "note", "fence": NaN}', "malformed-json"),
        (b"{}", "unknown-command-name"),
        (b'{"name": 7, "fence": 1}', "unknown-command-name"),
        (b'{"name": "rm -rf", "fence": 1}', "unknown-command-name"),
        (b'{"name": "note", "fence": 1, "extra": 1}', "invalid-command"),
        (b'{"name": "note", "fence": 1, "params": []}', "invalid-params"),
        (b'{"name": "note", "fence": 1, "params": {}}', "invalid-params"),
        (b'{"name": "note", "fence": 1, "params": {"text": 1}}', "invalid-params"),
        (b'{"name": "note", "fence": 1, "params": {"text": "a\\n"}}', "invalid-params"),
        (b'{"name": "note", "fence": 1, "params": {"text": "a", "txt": 1}}', "invalid-params"),
        (b'{"name": "note", "params": {"text": "a"}}', "invalid-fence"),
        (b'{"name": "note", "fence": -1, "params": {"text": "a"}}', "invalid-fence"),
        (b'{"name": "note", "fence": true, "params": {"text": "a"}}', "invalid-fence"),
        (b'{"name": "note", "fence": "9", "params": {"text": "a"}}', "invalid-fence"),
    ],
)
def test_a_malformed_command_is_refused_by_name(agent: Agent, body: bytes, code: str) -> None:
    stage, peer = agent
    status, problem = peer.ask("PUT", "/v1/commands/a", body)
    assert (status, problem["code"]) == (400, code)
    assert problem["detail"]
    assert stage.acts == []
    assert peer.ask("GET", "/v1/status")[1]["fence"] == 0


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (authorized("GET /"), 404),
        (authorized("GET /v1/commands/"), 404),
        (authorized("GET /v1/commands/a/b"), 404),
        (authorized("GET /v1/commands/" + "a" * 129), 404),
        (authorized("GET /v1/commands/a?wait_s=x"), 400),
        (authorized("GET http://[broken"), 400),
        (authorized("DELETE /v1/commands/a"), 400),
        (authorized("DELETE /v1/commands/a?fence=-1"), 400),
        (authorized("DELETE /v1/commands/a?fence=5"), 404),
        (authorized("PUT /v1/commands/a"), 411),
        (authorized("PUT /v1/commands/a", "Content-Length: -1\r\n"), 411),
        (authorized("PUT /v1/commands/a", f"Content-Length: {MAX_BODY_BYTES + 1}\r\n"), 413),
        (authorized("PUT /v1/commands/a", "Content-Length: 500\r\n", b'{"name"'), 400),
        (authorized("BREW /v1/status"), 501),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_a_malformed_request_gets_a_problem_and_the_agent_lives_on(
    agent: Agent, request_bytes: bytes, status: int
) -> None:
    _, peer = agent
    got, problem = raw(peer, request_bytes)
    assert (got, problem["status"]) == (status, status)
    assert peer.run("note", text="alive") == {"noted": "alive"}


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"\x00" * 5000, b"\r\n", b""])
def test_noise_does_no_harm(agent: Agent, noise: bytes) -> None:
    _, peer = agent
    with socket.create_connection((peer.address, peer.port), timeout=10) as connection:
        connection.sendall(noise)
        with suppress(OSError):  # one that is refused before it was read is closed by then
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert peer.run("note", text="alive") == {"noted": "alive"}


def test_idle_connections_of_one_peer_are_bounded(agent: Agent) -> None:
    _, peer = agent
    idle = [socket.create_connection((peer.address, peer.port)) for _ in range(MAX_CONNECTIONS_PER_PEER)]
    try:
        with socket.create_connection((peer.address, peer.port), timeout=10) as late:
            assert late.recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in idle:
            connection.close()

    def takes_a_command() -> bool:
        """Not before it has noticed that they went: whom it refuses it hangs up on, whatever was sent."""
        with suppress(OSError, HTTPException, ValueError):
            return bool(peer.run("note", text="alive") == {"noted": "alive"})
        return False

    while not takes_a_command():
        pass


def test_a_secret_in_wrong_parameters_is_not_repeated() -> None:
    with pytest.raises(Refusal) as refusal:
        Params({"password": "hush hush"}).text("password", "[a-z]+", secret=True)
    assert "hush" not in refusal.value.detail

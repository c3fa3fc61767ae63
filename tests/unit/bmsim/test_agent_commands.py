"""What a deploy agent is told is written down by its name, once, with what came of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bmsim.sandbox.frames import TCP, Datagram
from bmsim.sandbox.transfers import Transfers

NODE_MAC, HOST_MAC = "52:54:00:77:00:01", "02:00:00:00:00:01"
NODE, HOST = "10.77.0.100", "10.77.0.10"

Noted = list[tuple[str, str, str, str, dict[str, Any]]]


@pytest.fixture
def noted() -> Noted:
    return []


@pytest.fixture
def transfers(noted: Noted) -> Transfers:
    def note(node: str, device: str, command: str, sender: str, result: str = "ok", /, **args: Any) -> None:
        noted.append((node, f"{device}.{command}", sender, result, args))

    return Transfers({NODE_MAC: "n1"}, note)


def says(payload: bytes, *, seq: int = 1, port: int = 40_000) -> Datagram:
    return Datagram(HOST_MAC, NODE_MAC, HOST, NODE, port, 9999, payload, TCP, seq=seq)


def answers(status: str, *, port: int = 40_000) -> Datagram:
    payload = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    return Datagram(NODE_MAC, HOST_MAC, NODE, HOST, 9999, port, payload, TCP)


def put(name: str = "wipe", id: str = "1") -> tuple[bytes, bytes]:
    """Head and body, as `HttpAgentClient` has them."""
    body = json.dumps({"name": name, "params": {"chap_password": "hush"}, "fence": 7}).encode()
    head = f"PUT /v1/commands/{id} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode(), body


GIVEN = ("n1", "agent.command", f"{HOST}:40000", "ok", {"command": "wipe"})


def test_a_command_in_two_packets_is_noted_when_it_is_taken_up(transfers: Transfers, noted: Noted) -> None:
    head, body = put()
    for packet in (says(head), says(head), says(body, seq=1 + len(head))):  # the first is sent twice
        transfers.see(packet)
    assert noted == []
    transfers.see(answers("202 Accepted"))
    assert noted == [GIVEN]
    assert "hush" not in repr(noted)


def test_a_command_that_is_given_again_is_one(transfers: Transfers, noted: Noted) -> None:
    for id in ("1", "1", "2"):
        transfers.see(says(b"".join(put(id=id))))
        transfers.see(answers("202 Accepted"))
    assert noted == [GIVEN, GIVEN]


def test_a_command_that_is_refused_is_noted_with_the_status(transfers: Transfers, noted: Noted) -> None:
    for status in ("403 Forbidden", "202 Accepted"):
        transfers.see(says(b"".join(put())))
        transfers.see(answers(status))
    assert noted == [(*GIVEN[:3], "refused: 403", GIVEN[4]), GIVEN]


def test_who_only_asks_gives_no_command(transfers: Transfers, noted: Noted) -> None:
    transfers.see(says(b"GET /v1/commands/1?wait_s=20 HTTP/1.1\r\n\r\n"))
    transfers.see(answers("200 OK"))
    transfers.see(says(b"".join(put()), port=40_001))
    transfers.see(answers("202 Accepted"))
    assert noted == []
    transfers.see(answers("202 Accepted", port=40_001))
    assert len(noted) == 1


def test_what_passes_to_others_is_nobodys_business(transfers: Transfers, noted: Noted) -> None:
    """A compute host that has something else at that port."""
    packet = says(b"".join(put()))
    transfers.see(Datagram("02:00:00:00:00:02", HOST_MAC, HOST, HOST, 40_000, 9999, packet.payload, TCP))
    transfers.see(Datagram(HOST_MAC, "02:00:00:00:00:02", HOST, HOST, 9999, 40_000, b"HTTP/1.1 202", TCP))
    assert noted == []

"""Reports of agents are put together from the packets that carry them."""

from __future__ import annotations

from bmsim.sandbox.frames import TCP, Datagram
from scenarios.runner.machine.hello_replays import HELLO, Hellos

HEAD = HELLO + b"HTTP/1.1\r\nAuthorization: Bearer t\r\nContent-Length: 4\r\n\r\n"


def packet(seq: int, payload: bytes, *, source: str = "10.77.0.101", port: int = 40_000) -> Datagram:
    return Datagram(
        from_mac="52:54:00:77:00:01",
        to_mac="52:54:00:00:00:02",
        source=source,
        target="10.77.0.10",
        source_port=port,
        target_port=8080,
        payload=payload,
        protocol=TCP,
        seq=seq,
    )


def test_a_report_in_one_packet_is_whole_at_once() -> None:
    assert Hellos().see(packet(1, HEAD + b"{  }")) == HEAD + b"{  }"


def test_a_report_in_pieces_is_whole_with_its_last_one() -> None:
    hellos = Hellos()
    assert hellos.see(packet(1, HEAD)) == b""
    assert hellos.see(packet(1, HEAD)) == b""  # sent again
    assert hellos.see(packet(1 + len(HEAD), b"{ ")) == b""
    assert hellos.see(packet(3 + len(HEAD), b" }")) == HEAD + b"{  }"
    assert hellos.see(packet(5 + len(HEAD), b"more")) == b""


def test_connections_are_kept_apart() -> None:
    hellos = Hellos()
    assert hellos.see(packet(1, HEAD)) == b""
    assert hellos.see(packet(1 + len(HEAD), b"{  }", port=40_001)) == b""
    assert hellos.see(packet(1 + len(HEAD), b"{  }", source="10.77.0.102")) == b""
    assert hellos.see(packet(1 + len(HEAD), b"{  }")) == HEAD + b"{  }"


def test_what_is_no_report_is_none() -> None:
    hellos = Hellos()
    assert hellos.see(packet(1, b"GET /boot/x/kernel HTTP/1.1\r\n\r\n")) == b""
    assert hellos.see(packet(1, HELLO + b"x" * 20_000)) == b""
    assert hellos.see(packet(20_100, b"\r\nContent-Length: 0\r\n\r\n")) == b""

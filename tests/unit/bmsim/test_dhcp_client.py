"""A board's packets, read by others: scapy, and what the rack itself makes of frames."""

from __future__ import annotations

from scapy.layers.dhcp import BOOTP, DHCP

from bmsim.devices.messages import (
    BootpReply,
    BootpRequest,
    DhcpAck,
    DhcpDiscover,
    DhcpNak,
    DhcpOffer,
    DhcpRequest,
)
from bmsim.faces.dhcp_client import answer, packet
from bmsim.sandbox.frames import dhcp

MAC = "52:54:00:77:00:05"


def made(kind: str | None, *options: object, file: bytes = b"n1/kernel") -> object:
    reply = BOOTP(op=2, xid=7, yiaddr="10.0.0.5", siaddr="10.0.0.1", file=file)
    typed = [("message-type", kind)] if kind is not None else []
    packed = bytes(reply / DHCP(options=[*typed, *options, "end"]))
    found = dhcp(packed)
    assert found is not None
    return answer(found, 3)


def test_a_discover_asks_for_the_root_by_broadcast() -> None:
    said = BOOTP(packet(DhcpDiscover(1, MAC, None, "tile"), b"abcd"))
    options = dict(option for option in said[DHCP].options if isinstance(option, tuple))
    assert (said.xid, said.flags, said.chaddr[:6].hex(":")) == (0x61626364, 0x8000, MAC)
    assert options["message-type"] == 1
    assert 17 in options["param_req_list"]


def test_a_request_names_what_was_offered_and_by_whom() -> None:
    said = BOOTP(packet(DhcpRequest(1, MAC, None, "tile", "10.0.0.5", "10.0.0.1"), b"abcd"))
    options = dict(option for option in said[DHCP].options if isinstance(option, tuple))
    assert (options["requested_addr"], options["server_id"]) == ("10.0.0.5", "10.0.0.1")


def test_by_bootp_it_asks_with_no_option_at_all() -> None:
    """RFC 951 §3, and the magic cookie of RFC 1497."""
    sent = packet(BootpRequest(1, MAC), b"abcd")
    assert len(sent) == 300
    assert sent[:12] == b"\1\1\6\0abcd\0\0\x80\0"
    assert sent[28:34].hex(":") == MAC
    assert not any(sent[12:28]) and not any(sent[34:236])
    assert sent[236:] == b"\x63\x82\x53\x63\xff" + bytes(59)
    found = dhcp(sent)
    assert found is not None
    assert (found.message, found.mac, found.transaction) == ("bootrequest", MAC, b"abcd")


def test_an_answer_by_bootp_tells_all_at_once() -> None:
    root = (17, b"10.0.0.1:/n1")
    assert made(None, root) == BootpReply(3, "10.0.0.5", "10.0.0.1", "n1/kernel", "10.0.0.1:/n1")
    assert made(None) == BootpReply(3, "10.0.0.5", "10.0.0.1", "n1/kernel")


def test_answers_tell_address_file_and_root() -> None:
    server = ("server_id", "10.0.0.2")
    assert made("offer", server) == DhcpOffer(3, "10.0.0.5", "10.0.0.2", "n1/kernel")
    root = (17, b"10.0.0.1:/n1")
    assert made("ack", server, root) == DhcpAck(3, "10.0.0.5", "10.0.0.1", "n1/kernel", "10.0.0.1:/n1")
    assert made("nak", server) == DhcpNak(3)

"""A board's packets, read by others: scapy, and what the rack itself makes of frames."""

from __future__ import annotations

from scapy.layers.dhcp import BOOTP, DHCP

from bmsim.devices.messages import DhcpAck, DhcpDiscover, DhcpNak, DhcpOffer, DhcpRequest
from bmsim.faces.dhcp_client import answer, packet
from bmsim.sandbox.frames import dhcp

MAC = "52:54:00:77:00:05"


def made(kind: str, *options: object, file: bytes = b"n1/kernel") -> object:
    reply = BOOTP(op=2, xid=7, yiaddr="10.0.0.5", siaddr="10.0.0.1", file=file)
    packed = bytes(reply / DHCP(options=[("message-type", kind), *options, "end"]))
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


def test_answers_tell_address_file_and_root() -> None:
    server = ("server_id", "10.0.0.2")
    assert made("offer", server) == DhcpOffer(3, "10.0.0.5", "10.0.0.2", "n1/kernel")
    root = (17, b"10.0.0.1:/n1")
    assert made("ack", server, root) == DhcpAck(3, "10.0.0.5", "10.0.0.1", "n1/kernel", "10.0.0.1:/n1")
    assert made("nak", server) == DhcpNak(3)

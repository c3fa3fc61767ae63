"""Who is let in to a node's disk, and who was when another one came."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.dhcp import BOOTP, DHCP

from bmsim.sandbox.disk_sessions import FIN, RST, SYN
from bmsim.sandbox.frames import ISCSI_PORT, TCP, Datagram
from bmsim.sandbox.transfers import Transfers

NODE_MAC, NODE = "52:54:00:77:00:01", "10.77.0.100"
ONE, OTHER = ("10.77.0.10", 50000), ("10.77.0.11", 40000)
START = 2**32 - 8  # sequence numbers come round

Noted = list[tuple[str, str, str, Any]]


class Wire:
    def __init__(self) -> None:
        self.noted: Noted = []
        self._transfers = Transfers({NODE_MAC: "n1"}, self._note)

    def _note(
        self, node: str, device: str, command: str, sender: str, result: str = "ok", **args: Any
    ) -> None:
        assert node == "n1"
        if device == "iscsi":
            self.noted.append((command, sender, result, args.get("beside")))

    def target(self, to: tuple[str, int], flags: int, payload: bytes = b"", seq: int = START) -> None:
        mac, (address, port) = "02:00:00:00:00:01", to
        tcp = {"protocol": TCP, "flags": flags, "seq": seq & 0xFFFFFFFF}
        self._transfers.see(Datagram(NODE_MAC, mac, NODE, address, ISCSI_PORT, port, payload, **tcp))

    def initiator(self, by: tuple[str, int], flags: int) -> None:
        mac, (address, port) = "02:00:00:00:00:01", by
        self._transfers.see(
            Datagram(mac, NODE_MAC, address, NODE, port, ISCSI_PORT, b"", protocol=TCP, flags=flags)
        )

    def boots(self) -> None:
        asked = BOOTP(xid=7, chaddr=bytes.fromhex(NODE_MAC.replace(":", "")))
        packet = bytes(asked / DHCP(options=[("message-type", "discover"), "end"]))
        self._transfers.see(
            Datagram(NODE_MAC, "ff:ff:ff:ff:ff:ff", "0.0.0.0", "255.255.255.255", 68, 67, packet)
        )

    def logs_in(self, by: tuple[str, int]) -> None:
        self.target(by, SYN)
        self.target(by, 0, login(), START + 1)


def login(status: int = 0, transit: int = 0x87) -> bytes:
    answer = bytearray(48)
    answer[0], answer[1] = 0x23, transit
    answer[36:38] = status.to_bytes(2, "big")
    return bytes(answer)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.mark.parametrize(
    ("status", "transit", "result"), [(0, 0x87, "ok"), (0x0201, 0x00, "refused: 0x0201")]
)
def test_a_login_is_told_with_its_outcome(status: int, transit: int, result: str, wire: Wire) -> None:
    wire.target(ONE, SYN)
    wire.target(ONE, 0, login(status, transit), START + 1)
    wire.target(ONE, 0, login(status, transit), START + 2**20)  # data that happens to look the same
    wire.target(ONE, FIN)
    wire.target(ONE, RST)
    told = "10.77.0.10:50000"
    assert wire.noted == [("login", told, result, None), ("close", told, "ok", None)]


def test_who_is_still_let_in_is_told_when_another_one_comes(wire: Wire) -> None:
    wire.logs_in(ONE)
    wire.logs_in(OTHER)
    assert wire.noted[-1] == ("login", "10.77.0.11:40000", "ok", ["10.77.0.10:50000"])


def test_sessions_of_one_address_are_not_beside_each_other(wire: Wire) -> None:
    wire.logs_in(ONE)
    wire.logs_in((ONE[0], ONE[1] + 1))
    assert wire.noted[-1][3] is None


@pytest.mark.parametrize("ends", ["closed", "cut by its target", "broken off", "gone with its boot"])
def test_a_session_that_has_ended_is_beside_nobody(ends: str, wire: Wire) -> None:
    wire.logs_in(ONE)
    match ends:
        case "closed":
            wire.initiator(ONE, FIN)
            wire.target(ONE, FIN)
        case "cut by its target":
            wire.target(ONE, RST)
        case "broken off":
            wire.initiator(ONE, RST)
        case "gone with its boot":
            wire.boots()
    wire.logs_in(OTHER)
    assert wire.noted[-1] == ("login", "10.77.0.11:40000", "ok", None)


def test_what_an_initiator_has_sent_before_it_closed_may_still_be_written(wire: Wire) -> None:
    wire.logs_in(ONE)
    wire.initiator(ONE, FIN)
    wire.logs_in(OTHER)
    assert wire.noted[-1][3] == ["10.77.0.10:50000"]


def test_one_that_was_refused_is_beside_nobody(wire: Wire) -> None:
    wire.target(ONE, SYN)
    wire.target(ONE, 0, login(0x0201, 0), START + 1)
    wire.logs_in(OTHER)
    assert wire.noted[-1][3] is None

"""A netbooting machine as DHCP sees it: what real firmware sent, sent again; scapy reads the answers."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.wire.services.segment import NODE_IF, NODE_MAC, Segment

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "dhcp"
ANSWER_DEADLINE_S = 60.0
ETHERTYPE_IP = 0x0800
ARCHITECTURE = "pxe_client_architecture"


@dataclass(frozen=True)
class Answer:
    """One DHCP message from the server."""

    kind: int
    address: str
    next_server: str
    options: dict[str | int, Any]
    file: bytes = b""  # where BOOTP has it

    @property
    def boot_file(self) -> str:
        found = self.options.get("boot-file-name", self.file)
        return bytes(found).rstrip(b"\0").decode()


class DhcpClient:
    """Speaks raw Ethernet at the node's end."""

    def __init__(self, segment: Segment) -> None:
        with segment.at_node():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((NODE_IF, ETHERTYPE_IP))

    def __enter__(self) -> DhcpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(
        self,
        capture: str,
        *,
        mac: str = NODE_MAC,
        kind: str = "discover",
        address: str = "",
        plain: bool = False,
        architecture: int | None = None,
        vendor: str = "",
        deadline_s: float = ANSWER_DEADLINE_S,
    ) -> Answer | None:
        """Sends a captured request as the machine with `mac`, and gives the answer; None when there is
        none. plain: as a PXE ROM that isn't iPXE would send it. vendor: as a client of this class would, of
        this architecture, or that tells none (RFC 4578 §2.1). kind: "": by BOOTP, without any option."""
        packet = BOOTP(bytes.fromhex((CAPTURES / f"{capture}.hex").read_text()))
        hardware = bytes.fromhex(mac.replace(":", ""))
        packet.xid = int.from_bytes(os.urandom(4), "big")
        packet.chaddr = hardware + bytes(10)
        options = [option for option in packet[DHCP].options if _kept(option, plain)]
        options[0] = ("message-type", kind)
        options = [
            ("client_id", b"\1" + hardware) if _name(option) == "client_id" else option for option in options
        ]
        if vendor and vendor != "iPXE":
            options = [option for option in options if _name(option) not in (ARCHITECTURE, "vendor_class_id")]
            told = [] if architecture is None else [(ARCHITECTURE, architecture.to_bytes(2, "big"))]
            options[1:1] = [*told, ("vendor_class_id", vendor.encode())]
        if address:
            options.insert(1, ("requested_addr", address))
        packet[DHCP].options = options if kind else ["end"]
        frame = (
            Ether(src=mac, dst="ff:ff:ff:ff:ff:ff")
            / IP(src="0.0.0.0", dst="255.255.255.255")
            / UDP(sport=68, dport=67)
            / packet
        )
        self._forget()
        self._socket.send(bytes(frame))
        return self._answer(packet.xid, deadline_s)

    def _forget(self) -> None:
        """Drops what came since the last answer: a file's packets fill the socket's buffer, and where that is
        full the next answer is lost."""
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)
        self._socket.settimeout(None)

    def _answer(self, xid: int, deadline_s: float) -> Answer | None:
        end_s = time.monotonic() + deadline_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                frame = Ether(self._socket.recv(4096))
            except TimeoutError:
                return None
            if BOOTP in frame and frame[BOOTP].op == 2 and frame[BOOTP].xid == xid:
                return _read(frame[BOOTP])
        return None


def _name(option: Any) -> Any:
    return option[0] if isinstance(option, tuple) else option


def _kept(option: Any, plain: bool) -> bool:
    only_of_ipxe = ("user_class", 175)
    return _name(option) != "pad" and not (plain and _name(option) in only_of_ipxe)


def _read(packet: Any) -> Answer:
    options = {option[0]: option[1] for option in packet[DHCP].options if isinstance(option, tuple)}
    return Answer(options.get("message-type", 0), packet.yiaddr, packet.siaddr, options, packet.file)

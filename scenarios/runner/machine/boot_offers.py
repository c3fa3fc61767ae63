"""What nodes would be told to boot if they asked now: asked by DHCP in their names.

`python -m scenarios.runner.machine.boot_offers`, in the network of the rack's bridges; on standard input the
interface and the nodes' names by MAC address. It says on standard output, as one JSON object, what each is
told: a boot file or a root; empty: an address at most, or nothing in time.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from bmsim.api import RunningRack
from bmsim.devices.messages import Architecture, DhcpDiscover
from bmsim.faces.dhcp_client import ROOT_PATH, packet
from bmsim.sandbox.frames import DHCP_PORTS, dhcp
from bmsim.sandbox.listener import BRIDGE
from scenarios.runner.stage import LabTrouble

CLIENTS: tuple[tuple[str, int | None], ...] = (
    ("iPXE", Architecture.BIOS),
    *((f"PXEClient:Arch:{number:05}", number) for number in Architecture),
    ("tile", None),
)
"""Servers name a file by who asks: what it calls itself, and its architecture."""

TRIES, ANSWER_S = 3, 2.0
"""Nobody may answer: a node's services may have ended."""

LINGER_S = 0.5
"""For a second host's answer, after the first of each question."""

ALL_S = 120.0
"""How long all of it may take: on a quiet machine a second."""


def of_rack(rack: RunningRack, nodes: Mapping[str, str]) -> dict[str, str]:
    """nodes: name by MAC address. Raises LabTrouble."""
    network = f"--net=/proc/{rack.state.supervisor()}/ns/net"
    program = (sys.executable, "-m", "scenarios.runner.machine.boot_offers")
    given = json.dumps({"interface": BRIDGE, "nodes": dict(nodes)})
    try:
        done = subprocess.run(
            ("nsenter", network, "--", *program),
            input=given,
            capture_output=True,
            text=True,
            check=True,
            timeout=ALL_S,
        )
    except subprocess.SubprocessError as error:
        why = getattr(error, "stderr", "") or error
        raise LabTrouble(f"nobody can ask what nodes would boot: {why}") from error
    found: dict[str, str] = json.loads(done.stdout)
    return found


def offers(interface: str, nodes: Mapping[str, str]) -> dict[str, str]:
    """nodes: name by MAC address."""
    asked: dict[bytes, tuple[str, bytes]] = {}  # transaction → node, question
    for mac, node in nodes.items():
        for client, architecture in CLIENTS:
            number = os.urandom(4)
            asked[number] = node, packet(DhcpDiscover(0, mac, architecture, client), number)
    named = dict.fromkeys(nodes.values(), "")
    silent = set(asked)
    with _open(interface) as wire:
        for _ in range(TRIES):
            for number in silent:
                wire.sendto(asked[number][1], ("255.255.255.255", DHCP_PORTS[0]))
            for number, file in _heard(wire, silent, ANSWER_S):
                named[asked[number][0]] = named[asked[number][0]] or file
            if not silent:
                break
    return named


def _open(interface: str) -> socket.socket:
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    wire.bind(("", DHCP_PORTS[1]))
    return wire


def _heard(wire: socket.socket, silent: set[bytes], wait_s: float) -> Iterator[tuple[bytes, str]]:
    """Offers to what was asked, each with what it names, until each question had one, and a little longer.
    silent: questions that had none yet; kept up to date."""
    numbers = frozenset(silent)
    end_s = time.monotonic() + wait_s
    while (left_s := end_s - time.monotonic()) > 0:
        if not select.select([wire], [], [], left_s)[0]:
            return
        found = dhcp(wire.recv(2048))
        if found is None or found.message != "offer" or found.transaction not in numbers:
            continue
        silent.discard(found.transaction)
        yield found.transaction, found.file or found.text(ROOT_PATH)
        if not silent:
            end_s = min(end_s, time.monotonic() + LINGER_S)


def main() -> None:
    given = json.load(sys.stdin)
    print(json.dumps(offers(given["interface"], given["nodes"])))


if __name__ == "__main__":
    main()

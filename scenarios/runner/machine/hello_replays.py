"""Says again what agents have reported, from their own addresses: at once (agent.twice), or when an agent of
a later deploy reports (agent.stale_token).

`python -m scenarios.runner.machine.hello_replays`, on standard input the interface to the nodes, the nodes'
names by MAC address, the provisioner's address, and the file of faults. See beside.py. What is replayed are
the bytes that were heard, token and all; they are kept in memory alone.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bmsim.sandbox.frames import HTTP_PORT, TCP, Datagram, datagram
from bmsim.sandbox.listener import SNAP_BYTES, listen
from scenarios.runner.machine.beside import faults_in, say_ready, tell

HELLO = b"POST /agent/v1/hello "
TABLE = "7777"
ANSWER_S = 5.0
MOST_BYTES = 16384
"""Of a report; longer ones are none."""


class Hellos:
    """Puts reports together from the packets that carry them."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], dict[int, bytes]] = {}

    def see(self, packet: Datagram) -> bytes:
        """A whole report, when this packet was the last of it; else nothing."""
        if packet.protocol != TCP or packet.target_port != HTTP_PORT or not packet.payload:
            return b""
        key = (packet.source, packet.source_port)
        if packet.payload.startswith(HELLO):
            self._parts[key] = {}
        parts = self._parts.get(key)
        if parts is None:
            return b""
        parts[packet.seq] = packet.payload
        whole = b"".join(parts[seq] for seq in sorted(parts))
        head, gap, body = whole.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if not gap or length is None or len(body) < int(length[1]):
            if len(whole) > MOST_BYTES:
                del self._parts[key]
            return b""
        del self._parts[key]
        return whole


class Replays:
    """What each node has reported, and what of it is said again."""

    def __init__(self, nodes: Mapping[str, str], server: str, faults: Path) -> None:
        self._nodes = nodes
        self._server = server
        self._faults = faults
        self._hellos = Hellos()
        self._said: dict[str, dict[bytes, bytes]] = {}  # node → token → report, the latest last

    def hear(self, frame: bytes) -> None:
        packet = datagram(frame)
        if packet is None or (node := self._nodes.get(packet.from_mac)) is None:
            return
        report = self._hellos.see(packet)
        if not report:
            return
        said = self._said.setdefault(node, {})
        token = _token(report)
        said[token] = report
        earlier = [known for known in said if known != token]
        if node in faults_in(self._faults, "agent.twice"):
            self._say(node, "agent.twice", packet.source, report)
        if earlier and node in faults_in(self._faults, "agent.stale_token"):
            self._say(node, "agent.stale_token", packet.source, said[earlier[-1]])

    def _say(self, node: str, fault: str, address: str, report: bytes) -> None:
        try:
            status = _posted(address, self._server, report)
        except OSError as error:
            print(f"{fault} of {node}: {error}", file=sys.stderr, flush=True)
            return
        tell(t=time.time(), fault=fault, node=node, status=status)


def _token(report: bytes) -> bytes:
    found = re.search(rb"\r\nauthorization: *([^\r]*)", report, re.IGNORECASE)
    return found[1] if found is not None else b""


def _posted(address: str, server: str, report: bytes) -> int:
    """The status of the answer to what is said from a node's address. Raises OSError."""
    with socket.socket() as connection:
        # Another's address is ours for this connection alone, and its answers are for us: not for the wire.
        connection.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
        connection.settimeout(ANSWER_S)
        connection.bind((address, 0))
        with _routed_here(server, address, connection.getsockname()[1]):
            connection.connect((server, HTTP_PORT))
            connection.sendall(report)
            answer = connection.recv(64)
    words = answer.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise OSError(f"no answer of HTTP came: {answer!r}")
    return int(words[1])


@contextmanager
def _routed_here(server: str, address: str, port: int) -> Iterator[None]:
    of_us = ("from", server, "to", address, "ipproto", "tcp", "sport", str(HTTP_PORT), "dport", str(port))
    _ip("route", "replace", "local", f"{address}/32", "dev", "lo", "table", TABLE)
    _ip("rule", "add", *of_us, "lookup", TABLE)
    try:
        yield
    finally:
        _ip("rule", "del", *of_us, "lookup", TABLE)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def main() -> None:
    given = json.load(sys.stdin)
    replays = Replays(given["nodes"], given["server"], Path(given["faults"]))
    ear = listen(given["interface"])
    ear.setblocking(True)
    say_ready()
    while True:
        replays.hear(ear.recv(SNAP_BYTES))


if __name__ == "__main__":
    main()

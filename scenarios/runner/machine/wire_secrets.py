"""Hears on a compute host's provisioning interface which secrets there are, to be looked for in what is told.

`python -m scenarios.runner.machine.wire_secrets`, on standard input the interface. See beside.py. The tokens
of what is published and of instances, agents' bearers, and the secrets that disks are exported with all pass
there in clear. They are kept in the story's folder, and gone with it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

from bmsim.sandbox.frames import AGENT_PORT, HTTP_PORT, TCP, Datagram, datagram
from bmsim.sandbox.listener import SNAP_BYTES, listen
from scenarios.runner.machine.beside import say_ready, tell

PATH = re.compile(rb"(?:GET|HEAD|POST|PUT) (/\S*) HTTP/1\.")
TOKEN = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
"""`provisioner.protocols.ids.Ids.secret`."""

BEARER = re.compile(rb"\r\nauthorization: *bearer ([^\s]+)", re.IGNORECASE)
CHAP_PASSWORD = re.compile(rb'"chap_password": *"([^"]+)"')


def secrets_in(packet: Datagram) -> Iterator[str]:
    """Of one packet to the services or to an agent: requests are small, and none is cut where it counts."""
    if packet.protocol != TCP or packet.target_port not in (HTTP_PORT, AGENT_PORT):
        return
    found = [*BEARER.findall(packet.payload), *CHAP_PASSWORD.findall(packet.payload)]
    if packet.target_port == HTTP_PORT and (request := PATH.match(packet.payload)):
        found += TOKEN.findall(request[1])
    yield from (secret.decode("ascii", "replace") for secret in found)


def main() -> None:
    ear = listen(json.load(sys.stdin)["interface"])
    ear.setblocking(True)
    say_ready()
    known: set[str] = set()
    while True:
        packet = datagram(ear.recv(SNAP_BYTES))
        for secret in () if packet is None else secrets_in(packet):
            if secret not in known:
                known.add(secret)
                tell(secret=secret)


if __name__ == "__main__":
    main()

"""Watches a rack: `python -m bmsim.sandbox.watch_process`, its configuration on standard input.

It writes down what machines do and what passes the provisioning network, and brings about the faults that
wait for something to happen there. A process of its own, for a busy wire and libvirt's threads. It says
`ready` on standard output, and ends with its parent.
"""

from __future__ import annotations

import ctypes
import json
import queue
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import libvirt

from bmsim.audit import AuditLog, Entry
from bmsim.backends import disk_faults
from bmsim.faults.fault_file import FaultFile, Given
from bmsim.sandbox import libvirtd, rival_dhcp
from bmsim.sandbox.boot_faults import BootFaults, moment
from bmsim.sandbox.frames import datagram, dhcp
from bmsim.sandbox.listener import SNAP_BYTES, listen
from bmsim.sandbox.machine_events import MachineEvents
from bmsim.sandbox.transfers import Transfers

PR_SET_PDEATHSIG = 1  # linux/prctl.h
DHCP_SERVER_PORT = 67

FROM_THE_START = ("disk.slow", "disk.too_small", "node.dead_nic")
"""Faults that strike each machine that is switched on with them."""


class Watch:
    """Used by one thread, the one that makes it; but `happened`."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._audit = AuditLog(Path(given["audit"]))
        self._subnet = IPv4Network(given["subnet"])
        self._nodes = {mac: node["name"] for node in given["nodes"] for mac in node["macs"]}
        self._files = {node["name"]: FaultFile(Path(node["faults"])) for node in given["nodes"]}
        self._boots = {
            name: BootFaults(
                partial(libvirtd.freeze, name),
                partial(libvirtd.restart, name),
                partial(self._boot_struck, name),
            )
            for name in (node["name"] for node in given["nodes"] if node["machine"])
        }
        self._failed_writes: set[str] = set()
        self._transfers = Transfers(self._nodes, self.note)
        self._happened: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._bell, self._ring = socket.socketpair()
        self._wire = listen()
        machines = [node["name"] for node in given["nodes"] if node["machine"]]
        self._events = MachineEvents(libvirtd.URI, machines, self.happened)

    def happened(self, node: str, what: str) -> None:
        """Something of a machine; from any thread."""
        self._happened.put((node, what))
        self._ring.send(b"x")

    def run(self) -> None:
        """For ever."""
        while True:
            readable, _, _ = select.select([self._wire, self._bell], [], [])
            if self._bell in readable:
                self._bell.recv(1)
                self._machine(*self._happened.get())
            if self._wire in readable:
                self._hear(self._wire.recv(SNAP_BYTES))

    def note(
        self, node: str, device: str, command: str, sender: str, result: str = "ok", /, **args: Any
    ) -> None:
        self._audit.write(
            Entry(
                t=time.time(),
                node=node,
                device=device,
                sender=sender,
                command=command,
                result=result,
                args=args,
            )
        )
        if node in self._boots and (at := moment(device, command, args)):
            self._guarded(node, partial(self._boots[node].reached, at, self._faults(node)))

    def _faults(self, node: str) -> Given:
        return self._files[node].read()

    def _hear(self, frame: bytes) -> None:
        packet = datagram(frame)
        if packet is None:
            return
        self._transfers.see(packet)
        if packet.target_port == DHCP_SERVER_PORT and (asked := dhcp(packet.payload)) is not None:
            node = self._nodes.get(asked.mac, "")
            rival = self._faults(node).get("dhcp.rival") if node else None
            if rival is not None:
                self._rival(node, rival_dhcp.answer(asked, self._subnet, **rival))

    def _rival(self, node: str, frame: bytes | None) -> None:
        if frame is not None:
            self._wire.send(frame)
            self._struck(node, "dhcp.rival")

    def _machine(self, node: str, what: str) -> None:
        faults = self._faults(node)
        if what == "disk error":
            # The guest tries again and again: one entry for each boot.
            if "disk.write_error" in faults and node not in self._failed_writes:
                self._failed_writes.add(node)
                self._struck(node, "disk.write_error")
            return
        self._failed_writes.discard(node)
        if what == "on":
            if (parameters := faults.get("disk.write_error")) is not None:
                self._guarded(node, partial(disk_faults.fail_writes, libvirtd.URI, node, **parameters))
            for fault in FROM_THE_START:
                if fault in faults:
                    self._struck(node, fault)
        self.note(node, "machine", what, "")

    def _boot_struck(self, node: str, fault: str, at: str) -> None:
        self._struck(node, fault, at=at)

    def _struck(self, node: str, fault: str, **args: Any) -> None:
        self.note(node, "fault", "struck", "", fault=fault, **args)

    def _guarded(self, node: str, act: Any) -> None:
        """The machine may be gone by now, or libvirtd: that is said, and watching goes on."""
        try:
            act()
        except (libvirt.libvirtError, OSError) as error:
            print(f"a fault of node {node} could not strike: {error}", file=sys.stderr, flush=True)


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    watch = Watch(json.load(sys.stdin))
    print("ready", flush=True)
    watch.run()


if __name__ == "__main__":
    main()

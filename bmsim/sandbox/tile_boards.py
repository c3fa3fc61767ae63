"""tilepro64 boards of a rack: each that has power is a process in namespaces of its own; of one that hasn't,
there is no trace."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bmsim.devices.tile_commands import NIC
from bmsim.faults.fault_file import FaultFile
from bmsim.rack.spec import Node, Rack
from bmsim.rack.state import RackState

READY_DEADLINE_S = 30.0
END_S = 10.0


class TileBoards:
    """Called from one thread at a time. note(node, device, command, sender, **args): the rack's audit log."""

    def __init__(self, rack: Rack, state: RackState, note: Callable[..., None]) -> None:
        self._nodes = {node.name: node for node in rack.tiles}
        self._state = state
        self._note = note
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._nodes

    def give_power(self, name: str) -> None:
        """The board begins to boot. Does nothing to one that is on. Raises OSError, with what failed."""
        if self.is_running(name):
            return
        self._clear(name)
        node, faults = self._nodes[name], FaultFile(self._state.faults_file(name)).read()
        plugged = "node.dead_nic" not in faults
        self._lay_wire(node, plugged=plugged)
        with (self._state.folder / "tile.log").open("ab") as log:
            # Not by PR_SET_PDEATHSIG, which means the thread that calls us: the board's pipe ends with us.
            process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", name, "unshare", "--mount", "--pid", "--fork", "--kill-child"),
                    *("--mount-proc", "--propagation", "private", "--"),
                    *(sys.executable, "-m", "bmsim.faces.tile_process"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._running[name] = process
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._configuration(node)) + "\n")
        process.stdin.flush()
        self._await_ready(name, process)
        self._note(name, "machine", "on", "")
        if not plugged:
            self._note(name, "fault", "struck", "", fault="node.dead_nic")

    def cut_power(self, name: str) -> None:
        """Everything of it is gone when this returns: processes, addresses, connections. Idempotent."""
        was_on = self.is_running(name)
        self._clear(name)
        if was_on:
            self._note(name, "machine", "off", "")

    def is_running(self, name: str) -> bool:
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def set_link(self, name: str, *, up: bool) -> None:
        """Plugs or unplugs its cable, now; its next start looks at its faults."""
        if self.is_running(name):
            _ip("link", "set", self._leg(name), "up" if up else "down")

    def _clear(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.kill()
            process.wait(END_S)
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
        # The wire first: with it go the board's address and all that it still had to send.
        for words in (("link", "delete", self._leg(name)), ("netns", "delete", name)):
            subprocess.run(("ip", *words), capture_output=True, check=False)

    def _leg(self, name: str) -> str:
        return f"t{list(self._nodes).index(name)}"

    def _lay_wire(self, node: Node, *, plugged: bool) -> None:
        leg, mac = self._leg(node.name), node.nics[0].mac
        _ip("netns", "add", node.name)
        _ip("link", "add", leg, "type", "veth", "peer", "name", NIC, "address", mac, "netns", node.name)
        _ip("-n", node.name, "link", "set", "lo", "up")
        _ip("-n", node.name, "link", "set", NIC, "up")
        _ip("link", "set", leg, "master", "prov", "up" if plugged else "down")

    def _await_ready(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        late = threading.Timer(READY_DEADLINE_S, process.kill)
        late.start()
        try:
            ready = process.stdout.readline().strip() == "ready"
        finally:
            late.cancel()
        if not ready:
            self._clear(name)
            raise OSError(f"board {name} did not start: {self._state.folder / 'tile.log'} tells why")

    def _configuration(self, node: Node) -> dict[str, object]:
        assert node.tile is not None
        flash: Path | None = node.tile.compact_flash
        return {
            "node": node.name,
            "mac": node.nics[0].mac,
            "boot_s": node.tile.boot_s,
            "monitor_s": node.tile.monitor_s,
            "address_by": node.tile.address_by,
            "compact_flash": str(flash) if flash is not None else "",
            "console_log": str(self._state.console_log(node.name)),
            "audit": str(self._state.audit_file),
            "faults": str(self._state.faults_file(node.name)),
        }


def _ip(*words: str) -> None:
    done = subprocess.run(("ip", *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")

"""One process per BMC, started again when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bmsim.rack.inventory import IPMI_PORT
from bmsim.rack.spec import Bmc, Node, Rack
from bmsim.rack.state import RackState
from bmsim.sandbox.child import keep, until_ready
from bmsim.sandbox.libvirtd import URI


class BmcProcesses:
    def __init__(self, rack: Rack, state: RackState, say: Callable[[str], None]) -> None:
        self._rack = rack
        self._state = state
        self._say = say
        self._log = state.folder / "bmc.log"
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start_all(self, group: asyncio.TaskGroup) -> None:
        """Returns when every BMC listens; they run in `group` until it is cancelled. Raises DidNotStart."""
        self._group = group
        ready = {node.name: self._start(node, node.bmc) for node in self._rack.nodes if node.bmc is not None}
        for name, event in ready.items():
            await until_ready(event, what=f"the BMC of node {name}", log=self._log)

    def feed(self, node: Node, fed: bool) -> None:
        """A BMC without power is gone, with all that it knew; it starts when power is back. Idempotent."""
        running = self._running.pop(node.name, None)
        if fed and running is not None:
            self._running[node.name] = running
        elif fed and node.bmc is not None:
            self._start(node, node.bmc)
        elif running is not None:
            running.cancel()

    def _start(self, node: Node, bmc: Bmc) -> asyncio.Event:
        assert self._group is not None, "start_all comes first"
        ready = asyncio.Event()
        kept = keep(
            "bmsim.faces.bmc_process",
            self._configuration(node, bmc),
            what=f"the BMC of node {node.name}",
            log=self._log,
            ready=ready,
            say=self._say,
        )
        self._running[node.name] = self._group.create_task(kept)
        return ready

    def _configuration(self, node: Node, bmc: Bmc) -> dict[str, object]:
        state = self._state
        return {
            "node": node.name,
            "domain": node.name,
            "libvirt_uri": URI,
            "address": str(bmc.address),
            "port": IPMI_PORT,
            "user": bmc.user,
            "password": bmc.password.get_secret_value(),
            "audit": str(state.audit_file),
            "faults": str(state.faults_file(node.name)),
            "console": str(state.console_socket(node.name)),
            "console_log": str(state.console_log(node.name)),
        }

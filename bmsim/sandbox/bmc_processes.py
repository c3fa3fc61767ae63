"""One process per BMC, started again when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bmsim.rack.inventory import IPMI_PORT
from bmsim.rack.spec import Node, Rack
from bmsim.rack.state import RackState
from bmsim.sandbox.child import keep, until_ready
from bmsim.sandbox.libvirtd import URI


class BmcProcesses:
    def __init__(self, rack: Rack, state: RackState, say: Callable[[str], None]) -> None:
        self._rack = rack
        self._state = state
        self._say = say
        self._log = state.folder / "bmc.log"

    async def start_all(self, group: asyncio.TaskGroup) -> None:
        """Returns when every BMC listens; they run in `group` until it is cancelled. Raises DidNotStart."""
        ready = {node.name: asyncio.Event() for node in self._rack.nodes}
        for node in self._rack.nodes:
            group.create_task(
                keep(
                    "bmsim.faces.bmc_process",
                    self._configuration(node),
                    what=f"the BMC of node {node.name}",
                    log=self._log,
                    ready=ready[node.name],
                    say=self._say,
                )
            )
        for name, event in ready.items():
            await until_ready(event, what=f"the BMC of node {name}", log=self._log)

    def _configuration(self, node: Node) -> dict[str, object]:
        state = self._state
        return {
            "node": node.name,
            "domain": node.name,
            "libvirt_uri": URI,
            "address": str(node.bmc.address),
            "port": IPMI_PORT,
            "user": node.bmc.user,
            "password": node.bmc.password.get_secret_value(),
            "audit": str(state.audit_file),
            "faults": str(state.faults_file(node.name)),
            "console": str(state.console_socket(node.name)),
            "console_log": str(state.console_log(node.name)),
        }

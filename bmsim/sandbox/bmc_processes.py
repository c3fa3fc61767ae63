"""One process per BMC, started again when it ends."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

from bmsim.rack.inventory import IPMI_PORT
from bmsim.rack.spec import Node, Rack
from bmsim.rack.state import RackState
from bmsim.sandbox.libvirtd import URI

RESTART_S = 1.0
READY_DEADLINE_S = 30.0


class BmcDidNotStart(Exception):
    """The message names the BMC and where its words are."""


class BmcProcesses:
    def __init__(self, rack: Rack, state: RackState, say: Callable[[str], None]) -> None:
        self._rack = rack
        self._state = state
        self._say = say
        self._log = state.folder / "bmc.log"

    async def start_all(self, group: asyncio.TaskGroup) -> None:
        """Returns when every BMC listens; they run in `group` until it is cancelled."""
        ready = {node.name: asyncio.Event() for node in self._rack.nodes}
        for node in self._rack.nodes:
            group.create_task(self._keep(node, ready[node.name]))
        for name, event in ready.items():
            try:
                async with asyncio.timeout(READY_DEADLINE_S):
                    await event.wait()
            except TimeoutError as error:
                said = self._log.read_text(errors="replace")[-1000:]
                raise BmcDidNotStart(f"the BMC of node {name} did not start: {said}") from error

    async def _keep(self, node: Node, ready: asyncio.Event) -> None:
        while True:
            with self._log.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "bmsim.faces.bmc_process"),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                )
            assert process.stdin is not None
            assert process.stdout is not None
            # By standard input: a command line is for everybody to read.
            process.stdin.write(json.dumps(self._configuration(node)).encode())
            process.stdin.close()
            while line := await process.stdout.readline():
                if line.strip() == b"ready":
                    ready.set()
            code = await process.wait()
            self._say(f"the BMC of node {node.name} ended ({code}) and is started again")
            await asyncio.sleep(RESTART_S)

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

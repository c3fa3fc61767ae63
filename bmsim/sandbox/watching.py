"""The rack's watcher, as its supervisor keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState
from bmsim.sandbox.child import keep, until_ready

WHAT = "the rack's watcher"


async def start_watching(
    rack: Rack, state: RackState, group: asyncio.TaskGroup, say: Callable[[str], None]
) -> None:
    """Returns when it watches; it runs in `group` until that is cancelled. Raises DidNotStart."""
    ready, log = asyncio.Event(), state.folder / "watch.log"
    configuration = _configuration(rack, state)
    group.create_task(
        keep("bmsim.sandbox.watch_process", configuration, what=WHAT, log=log, ready=ready, say=say)
    )
    await until_ready(ready, what=WHAT, log=log)


def _configuration(rack: Rack, state: RackState) -> dict[str, Any]:
    return {
        "audit": str(state.audit_file),
        "subnet": str(rack.networks.provisioning.subnet),
        "nodes": [
            {
                "name": node.name,
                "macs": [nic.mac for nic in node.nics],
                "faults": str(state.faults_file(node.name)),
                "machine": node.tile is None,
            }
            for node in rack.nodes
        ],
    }

"""Making a rack's devices misbehave, and well again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState
from bmsim.sandbox.control import order

Act = Callable[[RackState, str], object]

MACHINE_FAULTS: Mapping[str, tuple[Act, Act | None]] = {
    "node.dead_nic": (
        lambda state, node: order(state, "link", node=node, up=False),
        lambda state, node: order(state, "link", node=node, up=True),
    ),
    # Mains that come back don't start a machine: that is its BMC's business.
    "node.power_loss": (lambda state, node: order(state, "cut_power", node=node), None),
}
"""Name → what brings it about, and what heals it. Those of BMCs are in bmsim.faults."""


def inject(state: RackState, node: str, fault: str, parameters: Mapping[str, Any]) -> None:
    """Raises RackError when there is no such node or fault."""
    _known_node(state, node)
    if fault in MACHINE_FAULTS:
        MACHINE_FAULTS[fault][0](state, node)
    elif fault.startswith("bmc."):
        _change(state, node, lambda active: {**active, fault: dict(parameters)})
    else:
        raise RackError(f"there is no fault {fault}; there are {', '.join(MACHINE_FAULTS)} and bmc.…", code=3)


def heal(state: RackState, node: str, fault: str | None) -> None:
    """One fault of the node, or all of them. Idempotent."""
    _known_node(state, node)
    for name, (_, mend) in MACHINE_FAULTS.items():
        if fault in (None, name) and mend is not None:
            mend(state, node)
    _change(
        state, node, lambda active: {} if fault is None else {k: v for k, v in active.items() if k != fault}
    )


def _known_node(state: RackState, node: str) -> None:
    rack = state.rack()
    if rack.node(node) is None:
        raise RackError(f"rack {rack.name} has no node {node}", code=3)


def _change(state: RackState, node: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = state.faults_file(node)
    active = json.loads(path.read_text()) if path.exists() else {}
    # Renamed into place: the BMC reads it at any moment.
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(change(active)))
    fresh.replace(path)

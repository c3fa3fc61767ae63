"""Making a rack's devices misbehave, and well again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import BadFault, By, Fault
from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState
from bmsim.sandbox.control import order

Act = Callable[[RackState, str], object]


@dataclass(frozen=True, slots=True)
class MachineFault:
    """How a fault is brought about behind the BMC's back. `mend` is None where nothing lasts."""

    strike: Act
    mend: Act | None


MACHINE_FAULTS: Mapping[str, MachineFault] = {
    "node.dead_nic": MachineFault(
        lambda state, node: order(state, "link", node=node, up=False),
        lambda state, node: order(state, "link", node=node, up=True),
    ),
    "node.power_loss": MachineFault(
        lambda state, node: order(state, "cut_power", node=node),
        None,
    ),
}

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in CATALOGUE.values()
    if fault.by is By.RACK and (fault.name.startswith("bmc.") or fault.name in MACHINE_FAULTS)
}
"""All that a rack can be given, by name."""


def inject(state: RackState, node: str, fault: str, parameters: Mapping[str, Any]) -> None:
    """Raises RackError when there is no such node, fault or parameter."""
    _known_node(state, node)
    _known_fault(fault)
    try:
        FAULTS[fault].completed(parameters)
    except BadFault as error:
        raise RackError(str(error), code=2) from error
    if fault in MACHINE_FAULTS:
        MACHINE_FAULTS[fault].strike(state, node)
    else:
        _change(state, node, lambda active: {**active, fault: dict(parameters)})


def heal(state: RackState, node: str, fault: str | None) -> None:
    """One fault of the node, or all of them. Idempotent."""
    _known_node(state, node)
    if fault is not None:
        _known_fault(fault)
    for name, machine_fault in MACHINE_FAULTS.items():
        if fault in (None, name) and machine_fault.mend is not None:
            machine_fault.mend(state, node)
    _change(
        state, node, lambda active: {} if fault is None else {k: v for k, v in active.items() if k != fault}
    )


def _known_node(state: RackState, node: str) -> None:
    rack = state.rack()
    if rack.node(node) is None:
        raise RackError(f"rack {rack.name} has no node {node}", code=3)


def _known_fault(fault: str) -> None:
    if fault not in FAULTS:
        raise RackError(f"there is no fault {fault}; there are: {', '.join(FAULTS)}", code=3)


def _change(state: RackState, node: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = state.faults_file(node)
    active = json.loads(path.read_text()) if path.exists() else {}
    # Renamed into place: the BMC reads it at any moment.
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(change(active)))
    fresh.replace(path)

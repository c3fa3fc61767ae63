"""Making a rack's devices misbehave, and well again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import BadFault, By, Fault
from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState
from bmsim.sandbox.control import order

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in CATALOGUE.values() if fault.by is By.RACK}
"""All that a rack can be given, by name."""

ONCE = ("node.power_loss",)
"""Nothing of these lasts that could be healed."""

# Those of these families are brought about by whoever reads the file of faults, at the next occasion.
BY_THE_FILE_ALONE = (
    *("bmc.", "dhcp.rival", "boot."),
    *("pdu.slow_queue", "pdu.outlet_stuck", "pdu.pending", "pdu.half_off", "pdu.unreachable"),
)


def inject(state: RackState, node: str, fault: str, parameters: Mapping[str, Any]) -> None:
    """Raises RackError when there is no such node, fault or parameter, or the rack can't."""
    _known_node(state, node)
    _known_fault(fault)
    _known_feeds(state, node, fault)
    try:
        FAULTS[fault].completed(parameters)
    except BadFault as error:
        raise RackError(str(error), code=2) from error
    if fault not in ONCE:
        _change(state, node, lambda active: {**active, fault: dict(parameters)})
    if fault.startswith(BY_THE_FILE_ALONE):
        return
    try:
        order(state, "strike", node=node, fault=fault, parameters=dict(parameters))
    except RackError:
        _change(state, node, lambda active: {k: v for k, v in active.items() if k != fault})
        raise


def heal(state: RackState, node: str, fault: str | None) -> None:
    """One fault of the node, or all of them. Idempotent."""
    _known_node(state, node)
    if fault is not None:
        _known_fault(fault)
    healed = tuple(_active(state, node)) if fault is None else (fault,)
    _change(state, node, lambda active: {k: v for k, v in active.items() if k not in healed})
    for name in healed:
        if not name.startswith(BY_THE_FILE_ALONE) and name not in ONCE:
            order(state, "mend", node=node, fault=name)


def _known_node(state: RackState, node: str) -> None:
    rack = state.rack()
    if rack.node(node) is None:
        raise RackError(f"rack {rack.name} has no node {node}", code=3)


def _known_fault(fault: str) -> None:
    if fault not in FAULTS:
        if fault in CATALOGUE:
            known = CATALOGUE[fault]
            raise RackError(f"{fault} can't be injected into a rack: that is done by {known.by}", code=2)
        raise RackError(f"there is no fault {fault}; there are: {', '.join(FAULTS)}", code=3)


def _known_feeds(state: RackState, node: str, fault: str) -> None:
    """That the node has what the fault is one of."""
    found = state.rack().node(node)
    assert found is not None
    if fault.startswith("pdu.") and not found.outlets:
        raise RackError(f"{fault} strikes outlets, and node {node} hangs on none", code=4)
    if fault == "pdu.half_off" and len(found.outlets) < 2:
        raise RackError(f"{fault} needs two feeds, and node {node} has one", code=4)
    if fault.startswith("bmc.") and found.bmc is None:
        raise RackError(f"{fault} strikes a BMC, and node {node} has none", code=4)


def _active(state: RackState, node: str) -> dict[str, Any]:
    path = state.faults_file(node)
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _change(state: RackState, node: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    # Renamed into place: it is read at any moment.
    path = state.faults_file(node)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(change(_active(state, node))))
    fresh.replace(path)

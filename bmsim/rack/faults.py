"""Making a rack's devices misbehave, and well again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import BadFault, By, Fault, Strikes
from bmsim.faults.pdu import feeds_needed
from bmsim.rack.errors import RackError
from bmsim.rack.state import RackState
from bmsim.sandbox.control import order

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in CATALOGUE.values() if fault.by is By.RACK}
"""All that a rack can be given, by name."""

ONCE = ("node.power_loss",)
"""Nothing of these lasts that could be healed."""

# Those of these families are brought about by whoever reads the file of faults, at the next occasion.
BY_THE_FILE_ALONE = (
    *("bmc.", "dhcp.rival", "boot.", "node.slow_post"),
    *("pdu.slow_queue", "pdu.outlet_stuck", "pdu.pending", "pdu.half_off", "pdu.unreachable"),
)


def inject(state: RackState, target: str, fault: str, parameters: Mapping[str, Any]) -> None:
    """target: a node or a compute host. Raises RackError when there is no such target, fault or parameter, or
    the rack can't."""
    _known_target(state, target)
    _known_fault(fault)
    try:
        completed = FAULTS[fault].completed(parameters)
    except BadFault as error:
        raise RackError(str(error), code=2) from error
    _fits(state, target, fault, completed)
    if fault not in ONCE:
        _change(state, target, lambda active: {**active, fault: dict(parameters)})
    if fault.startswith(BY_THE_FILE_ALONE):
        return
    try:
        order(state, "strike", target=target, fault=fault, parameters=dict(parameters))
    except RackError:
        _change(state, target, lambda active: {k: v for k, v in active.items() if k != fault})
        raise


def heal(state: RackState, target: str, fault: str | None) -> None:
    """One fault of a node or compute host, or all of them. Idempotent."""
    _known_target(state, target)
    if fault is not None:
        _known_fault(fault)
    healed = tuple(_active(state, target)) if fault is None else (fault,)
    _change(state, target, lambda active: {k: v for k, v in active.items() if k not in healed})
    for name in healed:
        if not name.startswith(BY_THE_FILE_ALONE) and name not in ONCE:
            order(state, "mend", target=target, fault=name)


def _known_target(state: RackState, target: str) -> None:
    rack = state.rack()
    if rack.node(target) is None and rack.compute_host(target) is None:
        raise RackError(f"rack {rack.name} has no node or compute host {target}", code=3)


def _known_fault(fault: str) -> None:
    if fault not in FAULTS:
        if fault in CATALOGUE:
            known = CATALOGUE[fault]
            raise RackError(f"{fault} can't be injected into a rack: that is done by {known.by}", code=2)
        raise RackError(f"there is no fault {fault}; there are: {', '.join(FAULTS)}", code=3)


def _fits(state: RackState, target: str, fault: str, parameters: Mapping[str, Any]) -> None:
    """That the target is and has what the fault is one of."""
    found = state.rack().node(target)
    if (found is None) is not (FAULTS[fault].strikes is Strikes.HOST):
        is_a = "compute host" if found is None else "node"
        raise RackError(f"{fault} strikes a {FAULTS[fault].strikes}, and {target} is a {is_a}", code=4)
    if found is None:
        return
    if fault.startswith("pdu.") and not found.outlets:
        raise RackError(f"{fault} strikes outlets, and node {target} hangs on none", code=4)
    if fault.startswith("pdu.") and feeds_needed(fault, parameters) > len(found.outlets):
        has = "hangs on one outlet" if len(found.outlets) == 1 else f"hangs on {len(found.outlets)} outlets"
        of_which = f"of feed {parameters['feed']}" if parameters.get("feed") else "needs two feeds"
        raise RackError(f"{fault} {of_which}, and node {target} {has}", code=4)
    of_tiles, of_others = ("node.slow_post", "boot.wrong_image"), ("disk.", "boot.ignores_flag", "boot.loop")
    if fault in of_tiles and found.tile is None:
        raise RackError(f"{fault} strikes boards of tilepro64, and {target} is {found.arch}", code=4)
    if fault.startswith(of_others) and found.tile is not None:
        raise RackError(f"{fault} strikes machines, and {target} is a board of {found.arch}", code=4)
    if fault.startswith("dhcp.") and found.tile is not None and found.tile.address_by == "bootp":
        raise RackError(f"{fault} strikes DHCP, and {target} asks by BOOTP: take net.drop", code=4)
    if fault.startswith("bmc.") and found.bmc is None:
        raise RackError(f"{fault} strikes a BMC, and node {target} has none", code=4)


def _active(state: RackState, target: str) -> dict[str, Any]:
    path = state.faults_file(target)
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _change(state: RackState, target: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    # Renamed into place: it is read at any moment.
    path = state.faults_file(target)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(change(_active(state, target))))
    fresh.replace(path)

"""Moments that can't come, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.parts import DeletePart, OneNode, RebuildPart, When

if TYPE_CHECKING:
    from scenarios.runner.schema import Scenario

DEVICES: Mapping[str, tuple[str, Callable[[OneNode], bool]]] = {
    "bmc": ("BMC", lambda node: node.power == "ipmi"),
    "pdu": ("outlet", lambda node: node.power != "ipmi"),
    "feed": ("outlet", lambda node: node.power != "ipmi"),
    "monitor": ("monitor", lambda node: node.firmware == "tilera"),
}
"""Source of events → what tells them, and which nodes have one."""


def of_no_device(scenario: Scenario, when: When) -> str:
    """What to change about a moment of a device that none of its nodes has; empty: nothing."""
    named = when.event or when.per or ""
    source = "bmc" if when.command is not None or named == "command" else named.partition(".")[0]
    nodes = [node for node in scenario.rack.node_list if when.node in (None, node.name)]
    if source not in DEVICES or not nodes:
        return ""
    device, has = DEVICES[source]
    if any(has(node) for node in nodes):
        return ""
    return f"it never comes, for {when.node or 'each node'} has no {device}: take another moment"


def of_one_that_stays(scenario: Scenario, instance: str) -> str:
    """What to change about the moment when an instance is deleted that nobody deletes; empty: nothing."""
    for request in scenario.requests:
        if isinstance(request, DeletePart) and request.delete in ("all", instance):
            return ""
        if isinstance(request, RebuildPart) and request.rebuild == instance:
            return ""
    return f"it never comes, for nothing deletes {instance}: take another moment"


def after_all_has_healed(scenario: Scenario, when: When) -> str:
    """What to change about the moment of a fault when none strikes any more; empty: nothing."""
    for fidelity in scenario.fidelities:
        safety_s = DEADLINES[fidelity].safety_s if scenario.safety_s is None else scenario.safety_s
        if when.at_s and when.at_s >= safety_s:
            return (
                f"everything heals after {safety_s:g} s at fidelity {fidelity}: write a smaller at_s, or a "
                "larger safety_s"
            )
    return ""

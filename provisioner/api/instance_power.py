"""Stopping, starting and restarting an instance's machine, by who has it: for EC2's API and REST's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from provisioner.api import node_orders, views
from provisioner.api.context import ApiContext
from provisioner.core.errors import Conflict
from provisioner.core.model import Instance, Node, NodeRequest, RequestState
from provisioner.core.states import InstanceState, PowerState
from provisioner.protocols.store import Tx

AT_ONCE = 1000
"""Nodes that one question names."""


class Power(StrEnum):
    """Of the machine of an instance that is active. starting, stopping: while such an order is pending."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING = "starting"


class Change(StrEnum):
    """Of an instance's power."""

    STOP = "stop"
    START = "start"
    REBOOT = "reboot"


VERBS: Mapping[Change, str] = MappingProxyType(
    {Change.STOP: "shutdown", Change.START: "on", Change.REBOOT: "reset"}
)
"""What the node's owner is asked to do. shutdown: by the operating system, which has a minute."""

MEANWHILE: Mapping[str, Power] = MappingProxyType(
    {
        **dict.fromkeys(("power:off", "power:soft", "power:shutdown"), Power.STOPPING),
        "power:on": Power.STARTING,
    }
)
"""While such an order is pending. Others (a restart) leave it running."""


def power_of(instance: Instance, seen: PowerState | None, ordered: Power | None) -> Power | None:
    """None for one that isn't active. seen: its node's, as last seen; ordered: what orders that are pending
    make of it."""
    if instance.state is not InstanceState.ACTIVE or instance.delete_requested:
        return None
    if ordered is not None:
        return ordered
    # Off by its own doing too: as an instance that shuts itself down.
    return Power.STOPPED if seen is PowerState.OFF else Power.RUNNING


def pending_orders(tx: Tx, nodes: Iterable[str]) -> dict[str, Power]:
    """By the instance's id, what orders of its power that are pending make of it. nodes: ids of those that
    are told of; others' orders aren't looked at."""
    found = orders_of(tx, nodes, state=RequestState.PENDING, verb=tuple(MEANWHILE))
    found.sort(key=lambda one: (one.created_at, one.id))
    return {request.instance_id: MEANWHILE[request.verb] for request in found if request.instance_id}


def orders_of(tx: Tx, nodes: Iterable[str], **where: object) -> list[NodeRequest]:
    """Requests for these nodes that meet `where`."""
    found, ids = list[NodeRequest](), list(nodes)
    for start in range(0, len(ids), AT_ONCE):
        some = tuple(ids[start : start + AT_ONCE])
        found += tx.find(NodeRequest, where={"node_id": some, **where})
    return found


def power_now(tx: Tx, instance: Instance, node: Node | None) -> Power | None:
    if node is None:
        return power_of(instance, None, None)
    return power_of(instance, node.power_state, pending_orders(tx, [node.id]).get(instance.id))


def order(tx: Tx, context: ApiContext, instance: Instance, change: Change, *, force: bool) -> views.View:
    """A request for the owner of its node. force: stop it by its power alone, at once.

    Raises Conflict for an instance that isn't active, and for the restart of one that doesn't run."""
    power = power_now(tx, instance, tx.get(Node, instance.node_id) if instance.node_id else None)
    if power is None:
        raise Conflict(
            f"{change} instance {instance.name}",
            answer="it is to be deleted"
            if instance.state is InstanceState.ACTIVE
            else f"it is {instance.state}",
            advice="Only an active instance's machine is switched",
        )
    if change is Change.REBOOT and power is not Power.RUNNING:
        raise Conflict(
            f"{change} instance {instance.name}",
            answer=f"it is {power}",
            advice="Start it (provisioner instance start)",
        )
    assert instance.node_id is not None, "an instance that is active has a node"
    verb = "off" if force and change is Change.STOP else VERBS[change]
    made = node_orders.ask(tx, context, instance.node_id, f"power:{verb}")
    tx.notify(f"instance:{instance.id}")
    return made

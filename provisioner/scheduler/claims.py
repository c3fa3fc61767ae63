"""Giving a node to an instance: conditional updates, so that it is given once however many try."""

from __future__ import annotations

from provisioner.core.model import Instance, Node, Port, TimelineEvent, Work
from provisioner.core.plan import deploy_plan
from provisioner.core.states import Event, InstanceState, ProvisionState, next_state
from provisioner.protocols.store import Tx


def claim(tx: Tx, instance: Instance, node: Node, address: str, work_id: str) -> TimelineEvent | None:
    """What is to be told of it, when the node is the instance's now. None when its row has changed since it
    was read: nothing was written then. instance: as this transaction has seen it, and waiting. address: of
    the node."""
    plan = deploy_plan(node)
    claimed = tx.update(
        Node,
        node.id,
        {
            "state": next_state(node.state, Event.CLAIM),
            "instance_id": instance.id,
            "work": Work(id=work_id, plan=plan.name, step=plan.first, entered_at=tx.now()),
            "failure": None,
        },
        expect={
            "state": ProvisionState.AVAILABLE,
            "instance_id": None,
            "maintenance": False,
            "reserved_for": node.reserved_for,
            "owner": node.owner,
            "fence": node.fence,
            "updated_at": node.updated_at,
        },
    )
    if not claimed:
        return None
    tx.update(
        Instance,
        instance.id,
        {
            "state": InstanceState.BUILDING,
            "node_id": node.id,
            "waiting_for": "",
            "address": address,
        },
        expect={"state": InstanceState.REQUESTED},
    )
    tx.notify("nodes", "work", f"node:{node.id}", f"instance:{instance.id}")
    return TimelineEvent(
        node_id=node.id,
        instance_id=instance.id,
        at=tx.now(),
        source="controller",
        name="node.claimed",
        text=f"instance {instance.name} got node {node.name}",
        fence=node.fence,
    )


def addresses_of(tx: Tx, node_ids: tuple[str, ...]) -> dict[str, str]:
    """Of the ports that they boot from, by node. They have them for life."""
    if not node_ids:
        return {}
    ports = tx.find(Port, where={"node_id": node_ids})
    # The boot port's is the last word.
    return {port.node_id: port.address for port in sorted(ports, key=lambda port: port.boot)}

"""Giving a node to an instance: conditional updates, so that it is given once however many try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from provisioner.core.model import Instance, Node, Port, TimelineEvent, Work
from provisioner.core.plan import deploy_plan
from provisioner.core.states import Event, InstanceState, ProvisionState, next_state
from provisioner.protocols.store import Tx


class Claim(NamedTuple):
    """What is still to be written of it: what becomes of the instance, and what is told."""

    instance_id: str
    changes: Mapping[str, Any]
    event: TimelineEvent


def claim(tx: Tx, instance: Instance, node: Node, address: str, work_id: str) -> Claim | None:
    """The node is the instance's now, once `write_rest` has it. None when the node's row has changed since it
    was read: nothing was written then. instance: this transaction has seen that it waits. address: of the
    node."""
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
    tx.notify("nodes", "work", f"node:{node.id}", f"instance:{instance.id}")
    return Claim(
        instance.id,
        {"state": InstanceState.BUILDING, "node_id": node.id, "waiting_for": "", "address": address},
        TimelineEvent(
            node_id=node.id,
            instance_id=instance.id,
            at=tx.now(),
            source="controller",
            name="node.claimed",
            text=f"instance {instance.name} got node {node.name}",
            fence=node.fence,
        ),
    )


def write_rest(tx: Tx, claims: Sequence[Claim]) -> None:
    """Of all claims of a transaction: one statement for all costs much less than one for each."""
    changed = tx.update_all(Instance, {claim.instance_id: claim.changes for claim in claims})
    assert changed == len(claims), f"{len(claims)} instances were there, {changed} are"
    tx.insert(*(claim.event for claim in claims))


def addresses_of(tx: Tx, node_ids: tuple[str, ...]) -> dict[str, str]:
    """Of the ports that they boot from, by node. They have them for life."""
    if not node_ids:
        return {}
    ports = tx.find(Port, where={"node_id": node_ids})
    # The boot port's is the last word.
    return {port.node_id: port.address for port in sorted(ports, key=lambda port: port.boot)}

"""From "delete this instance" to a node that is being cleaned."""

from __future__ import annotations

from provisioner.core.deletion import DELETED
from provisioner.core.model import Instance, Node, Work
from provisioner.core.plan import clean_plan
from provisioner.core.states import TRANSITIONS, Event, InstanceState, ProvisionState, next_state
from provisioner.protocols.store import Tx


def release_for_deletion(tx: Tx, instance_id: str, work_id: str, *, host: str) -> bool:
    """Has `host` start the cleaning of the instance's node, if it hasn't begun. Says whether it did.

    A node that has another owner by now is that one's to clean, whatever `host` still serves to it. One whose
    cleaning failed waits for its operator; one that no longer carries the instance needs nothing, and the
    instance is deleted.
    """
    instance = tx.get(Instance, instance_id)
    if instance is None or instance.state is InstanceState.DELETED or instance.node_id is None:
        return False
    node = tx.get(Node, instance.node_id)
    if node is None or node.instance_id != instance.id:
        tx.update(Instance, instance.id, DELETED)
        tx.notify("instances", f"instance:{instance.id}")
        return False
    if node.owner != host:
        return False
    plan = clean_plan(node)
    cleaning = node.work is not None and node.work.plan == plan.name
    waits_for_operator = node.state is ProvisionState.CLEAN_FAILED
    if cleaning or waits_for_operator or Event.RELEASE not in TRANSITIONS[node.state]:
        return False
    work = Work(id=work_id, plan=plan.name, step=plan.first, entered_at=tx.now())
    changes = {"state": next_state(node.state, Event.RELEASE), "work": work, "failure": None}
    if not tx.update(Node, node.id, changes, expect={"fence": node.fence, "state": node.state}):
        return False
    tx.update(Instance, instance.id, {"state": InstanceState.DELETING})
    tx.notify("nodes", "work", f"node:{node.id}", f"instance:{instance.id}")
    return True

"""What may be asked of nodes, each one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from provisioner.api import power_devices, views
from provisioner.api.context import ApiContext, find_node
from provisioner.api.tenants import is_tenant
from provisioner.config.node_file import Disk, NodeEntry
from provisioner.config.node_power import PowerEntry
from provisioner.core.deletion import DELETED
from provisioner.core.errors import Conflict, InvalidInput, NotFound
from provisioner.core.model import (
    ConsoleTail,
    Instance,
    Node,
    NodeRequest,
    Outlet,
    Port,
    RequestState,
    TimelineEvent,
    Work,
)
from provisioner.core.plan import PLANS, Plan, clean_plan, owes_wipe, wipe_to_owe
from provisioner.core.states import (
    ACTING,
    DELETABLE,
    TRANSITIONS,
    Event,
    PowerState,
    ProvisionState,
    next_state,
)
from provisioner.protocols.store import Tx

MOST_PENDING = 4
"""Orders of a node's power that wait: a BMC takes seconds for each, and all hosts look through them."""


def enrol(tx: Tx, context: ApiContext, entry: NodeEntry) -> views.View:
    """Raises Conflict when name, MAC, address or outlet are taken, or the pool is empty; InvalidInput for a
    power driver that no compute host has, or an address that can't be a node's."""
    power_devices.check(tx, context, f"enrol node {entry.name}", entry.power)
    if tx.find(Node, where={"name": entry.name}):
        raise Conflict(
            f"enrol node {entry.name}",
            answer="a node of this name is enrolled",
            advice="Correct it (provisioner node power-device, node disks), or delete it first",
        )
    if entry.deploy not in context.deploy_drivers:
        raise InvalidInput(
            f"enrol node {entry.name}",
            field="deploy",
            answer=f"this provisioner can't deploy by {entry.deploy}",
            advice="Set nfs.server in the configuration of its compute hosts, or use `deploy: iscsi`",
        )
    for number, port in enumerate(entry.ports):
        if port.address is not None and (fault := context.pool.fault(port.address)):
            raise InvalidInput(
                f"enrol node {entry.name}",
                field=f"ports.{number}.address",
                answer=f"it can't have the address {port.address}: {fault}",
                advice="Reserve another one, or leave it out: one of network.pool is taken then",
            )
    now = tx.now()
    node = Node(
        id=context.ids.uuid(),
        name=entry.name,
        arch=entry.arch,
        firmware=entry.firmware,
        cpus=entry.vcpus,
        memory_mib=entry.memory_mib,
        disk_mib=entry.disk_mib,
        boot_driver=entry.boot,
        deploy_driver=entry.deploy,
        **power_devices.columns(context, entry.power),
        root_device_hint=_hint(entry.root_device),
        keep_disks=_hints(entry.keep_disks),
        zone=entry.zone,
        rack=entry.rack,
        reserved_for=entry.reserved_for,
        capabilities=entry.capabilities,
        work=Work(id=context.ids.uuid(), plan="enrol", step="verify_power", entered_at=now),
        created_at=now,
        updated_at=now,
    )
    given = {str(port.address) for port in entry.ports if port.address}
    taken = iter(context.pool.take(tx, sum(not port.address for port in entry.ports), but=given))
    ports = [
        Port(id=port.mac, node_id=node.id, address=str(port.address) if port.address else next(taken))
        for port in entry.ports
    ]
    tx.insert(node, *ports)
    power_devices.take_outlets(tx, node.id, entry.power)
    tx.notify("nodes", "work")
    return views.node(node, ports)


def _hint(disk: Disk) -> Mapping[str, Any]:
    return disk.model_dump(exclude_none=True)


def _hints(disks: Sequence[Disk]) -> tuple[Mapping[str, Any], ...]:
    return tuple(map(_hint, disks))


def delete(tx: Tx, id_or_name: str, *, unwiped: bool = False, unplugged: bool = False) -> None:
    """unwiped: also when it owes a wipe. Enrolled anew it is given to the next instance as it is. unplugged:
    somebody saw that it has no power, which its power device couldn't tell."""
    node = find_node(tx, id_or_name)
    carries = node.instance_id is not None
    if node.state is ProvisionState.CLEAN_FAILED and carries and not unplugged:
        raise Conflict(
            f"delete node {node.name}",
            answer="its instance may still run: its cleaning failed before the power was seen off",
            advice="Mend what its failure says, or correct its power device if it has another one now "
            "(provisioner node power-device), and clean it (provisioner node clean). Or unplug the machine "
            "and delete it as one that has no power (--unplugged, ?unplugged=true)",
        )
    if node.state not in DELETABLE or (carries and node.state is not ProvisionState.CLEAN_FAILED):
        raise Conflict(
            f"delete node {node.name}",
            answer=f"it is {node.state}",
            advice="Delete its instance and wait until it is available",
        )
    instance = tx.get(Instance, node.instance_id) if node.instance_id is not None else None
    if instance is not None:
        node = replace(node, wipe_owed=wipe_to_owe(node.wipe_owed, instance.wipe))
    owed = owes_wipe(node)
    if owed and not unwiped:
        raise Conflict(
            f"delete node {node.name}",
            answer=f"it owes its last instance a {node.wipe_owed} wipe: its disks may still hold that one's "
            "data",
            advice="Mend what its failure says, and clean it (provisioner node clean). Or delete it unwiped "
            "(--unwiped, ?unwiped=true): enrolled anew it gives the next instance those data",
        )
    if not tx.delete(Node, node.id, expect={"state": node.state, "instance_id": node.instance_id}):
        raise Conflict(f"delete node {node.name}", answer="it has just been given to an instance")
    if instance is not None:
        tx.update(Instance, instance.id, {**DELETED, "failure": None, "address": ""})
        tx.notify("instances", f"instance:{instance.id}")
    for port in tx.find(Port, where={"node_id": node.id}):
        tx.delete(Port, port.id)
    for outlet in tx.find(Outlet, where={"node_id": node.id}):
        tx.delete(Outlet, outlet.id)
    tx.delete(ConsoleTail, node.id)
    # By it hosts know that what is left of the node was this provisioner's.
    tx.insert(
        TimelineEvent(
            node_id=node.id,
            instance_id=instance.id if instance is not None else None,
            at=tx.now(),
            source="controller",
            name="node.deleted",
            text=f"node {node.name} is no longer known"
            + (f"; instance {instance.name} is gone with it" if instance is not None else "")
            + (f"; the {node.wipe_owed} wipe that it owed was given up" if owed else ""),
            fence=node.fence,
        )
    )
    tx.notify("nodes", "work", f"node:{node.id}")


def set_maintenance(tx: Tx, id_or_name: str, *, on: bool, reason: str) -> views.View:
    node = find_node(tx, id_or_name)
    changes: dict[str, object] = {"maintenance": on, "maintenance_reason": reason}
    if not on:
        changes["deploy_failures"] = 0  # who takes it out of maintenance says that it is mended
    tx.update(Node, node.id, changes)
    tx.notify("nodes", "offers", f"node:{node.id}")
    return _view(tx, node.id)


def reserve(tx: Tx, id_or_name: str, tenant: str) -> views.View:
    """tenant: the only one that may have it; empty: any. Raises NotFound for one that isn't there."""
    node = find_node(tx, id_or_name)
    if tenant and not is_tenant(tx, tenant):
        raise NotFound(f"find tenant {tenant}", answer="there is no such tenant")
    tx.update(Node, node.id, {"reserved_for": tenant})
    tx.notify("nodes", "offers", f"node:{node.id}")
    return _view(tx, node.id)


def set_disks(
    tx: Tx, id_or_name: str, root_device: Disk | None, keep_disks: Sequence[Disk] | None
) -> views.View:
    """In place of what the node's entry said of them; None: as it was. Raises Conflict while the node is
    worked on: that may go by what was said before."""
    node = find_node(tx, id_or_name)
    changes: dict[str, object] = {}
    if root_device is not None:
        changes["root_device_hint"] = _hint(root_device)
    if keep_disks is not None:
        changes["keep_disks"] = _hints(keep_disks)
    seen = {"state": node.state, "fence": node.fence}
    if node.state in ACTING or not tx.update(Node, node.id, changes, expect=seen):
        raise Conflict(
            f"change the disks of node {node.name}",
            answer=f"it is {node.state}" if node.state in ACTING else "its state has just changed",
            advice="Wait until its work has ended, and try again",
        )
    tx.notify("nodes", f"node:{node.id}")
    return _view(tx, node.id)


def set_power_device(tx: Tx, context: ApiContext, id_or_name: str, power: PowerEntry) -> views.View:
    """In place of the one that the node has; where that can be checked, a check of it begins. Raises as
    `enrol`; Conflict while the node is worked on or switched, which goes on by the device that it had."""
    node = find_node(tx, id_or_name)
    tried = f"change the power device of node {node.name}"
    if node.state in ACTING:
        raise Conflict(
            tried, answer=f"it is {node.state}", advice="Wait until its work has ended, and try again"
        )
    if tx.count(NodeRequest, where={"node_id": node.id, "state": RequestState.PENDING}):
        # The outlet that it has may be given to another node next, which this order would switch.
        raise Conflict(
            tried,
            answer="an order of power is being carried out",
            advice="Wait for its answer, and try again",
        )
    power_devices.check(tx, context, tried, power, node.id)
    power_devices.take_outlets(tx, node.id, power)
    # What is known of the power was said by the device that it had.
    changes = {**power_devices.columns(context, power), "power_state": PowerState.UNKNOWN}
    if Event.VERIFY in TRANSITIONS[node.state]:
        return _begin(tx, context, node.id, Event.VERIFY, PLANS["enrol"], changes)
    if not tx.update(Node, node.id, changes, expect={"state": node.state, "fence": node.fence}):
        raise Conflict(tried, answer="its state has just changed", advice="Try again")
    tx.notify("nodes", f"node:{node.id}")
    return _view(tx, node.id)


def ask(tx: Tx, context: ApiContext, id_or_name: str, verb: str) -> views.View:
    """A request for the node's owner, which ends with the instance that has the node now: a new one, unless
    the last one that is pending asks for the same. Raises Conflict for one too many."""
    node = find_node(tx, id_or_name)
    whose = node.instance_id or ""
    where = {"node_id": node.id, "instance_id": whose, "state": RequestState.PENDING}
    pending = tx.find(NodeRequest, where=where)
    # The last one alone, or those of that moment: of off, on and off again none is too many.
    last_at = max((one.created_at for one in pending), default=None)
    for one in pending:
        if one.verb == verb and one.created_at == last_at:
            return views.request(one)
    if len(pending) >= MOST_PENDING:
        raise Conflict(
            f"{verb.removeprefix('power:')} node {node.name}",
            answer=f"{len(pending)} orders of its power wait already",
            advice="Ask again when they have been carried out",
        )
    now = tx.now()
    request = NodeRequest(
        id=context.ids.uuid(),
        node_id=node.id,
        instance_id=whose,
        verb=verb,
        created_at=now,
        updated_at=now,
    )
    tx.insert(request)
    tx.notify("requests")
    return views.request(request)


def verify(tx: Tx, context: ApiContext, id_or_name: str) -> views.View:
    node = find_node(tx, id_or_name)
    if Event.VERIFY not in TRANSITIONS[node.state]:
        raise Conflict(
            f"verify node {node.name}",
            answer=f"it is {node.state}",
            advice="A node is verified when it is available, or its enrolment failed; ask for its power's "
            "status instead",
        )
    return _begin(tx, context, id_or_name, Event.VERIFY, PLANS["enrol"])


def clean(tx: Tx, context: ApiContext, id_or_name: str, *, wipe: str = "quick") -> views.View:
    """wipe: quick or full; one that was owed before is never lessened."""
    node = find_node(tx, id_or_name)
    if Event.CLEAN not in TRANSITIONS[node.state]:
        raise Conflict(
            f"clean node {node.name}",
            answer=f"it is {node.state}",
            advice="Clean a node that is available or clean_failed; others are when their instance goes",
        )
    # Of one that still has an instance, that one's wish is added once it is off.
    changes = {"wipe_owed": wipe_to_owe(node.wipe_owed, wipe)}
    return _begin(tx, context, id_or_name, Event.CLEAN, clean_plan(node), changes)


def _begin(
    tx: Tx,
    context: ApiContext,
    id_or_name: str,
    event: Event,
    plan: Plan,
    more: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, Any]:
    node = find_node(tx, id_or_name)
    work = Work(id=context.ids.uuid(), plan=plan.name, step=plan.first, entered_at=tx.now())
    changes = {"state": next_state(node.state, event), "work": work, "failure": None, **more}
    if not tx.update(Node, node.id, changes, expect={"state": node.state, "fence": node.fence}):
        raise Conflict(f"{event} node {node.name}", answer="its state has just changed", advice="Try again")
    tx.notify("nodes", "work", f"node:{node.id}")
    return _view(tx, node.id)


def _view(tx: Tx, node_id: str) -> views.View:
    return views.node(find_node(tx, node_id), tx.find(Port, where={"node_id": node_id}))

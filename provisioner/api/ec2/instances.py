"""DescribeInstances and DescribeInstanceStatus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from provisioner.api.disclosure import instance_for
from provisioner.api.ec2.answers import time_text
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.filters import Filters, Looks
from provisioner.api.ec2.ids import TOLD_S, bounded, find_instance
from provisioner.api.ec2.instance_states import (
    RUNNING,
    STOPPED,
    TERMINATED,
    State,
    failed_orders,
    state_of,
    transition_reason,
)
from provisioner.api.ec2.other_filters import OTHERS
from provisioner.api.ec2.paging import page
from provisioner.api.ec2.tags import tag_set, tags_of
from provisioner.api.instance_power import pending_orders
from provisioner.core.ec2_ids import image_id, instance_id, kernel_id, public_id, ramdisk_id
from provisioner.core.model import Image, Instance, Node
from provisioner.core.states import LIVE, InstanceState
from provisioner.core.zones import DEFAULT, ec2_zone, zone_of
from provisioner.protocols.store import Since, Tx

R = TypeVar("R", Node, Image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An instance with what is told of it."""

    instance: Instance
    state: State
    image: Image | None
    node: Node | None
    tags: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    account: str = ""
    transition: str = ""  # why its power isn't as it was ordered to be

    @property
    def id(self) -> str:
        return instance_id(self.instance.id)

    @property
    def reservation_id(self) -> str:
        return self.instance.reservation_id or public_id("r", self.instance.id)

    @property
    def image_id(self) -> str:
        # An image is kept while an instance needs it.
        return image_id(self.image) if self.image else public_id("ami", self.instance.image_id)


_NONE_HAS = (
    *("block-device-mapping.attach-time", "block-device-mapping.delete-on-termination"),
    *("block-device-mapping.device-name", "block-device-mapping.status", "block-device-mapping.volume-id"),
    *("dns-name", "hypervisor", "instance-lifecycle", "instance.group-id", "instance.group-name"),
    *("ip-address", "placement-group-name", "platform", "product-code", "product-code.type"),
)
"""Answers tell that there are none: it is a machine, on demand, whose addresses are private."""

_LOOKS: Looks[Seen] = {
    **dict.fromkeys(_NONE_HAS, lambda seen: ()),
    "architecture": lambda seen: [seen.image.arch] if seen.image else [],
    "availability-zone": lambda seen: [seen.zone],
    "availability-zone-id": lambda seen: [seen.zone],
    "client-token": lambda seen: [seen.instance.client_token] if seen.instance.client_token else [],
    "ebs-optimized": lambda seen: ["false"],
    "host-id": lambda seen: [seen.node.name] if seen.node else [],
    "image-id": lambda seen: [seen.image_id],
    "instance-id": lambda seen: [seen.id],
    "instance-state-code": lambda seen: [str(seen.state.code)],
    "instance-state-name": lambda seen: [seen.state.name],
    "instance-type": lambda seen: [seen.instance.flavor.name],
    "kernel-id": lambda seen: [kernel_id(seen.instance.kernel_id)] if seen.instance.kernel_id else [],
    "key-name": lambda seen: [seen.instance.key_name] if seen.instance.key_name else [],
    "launch-index": lambda seen: [str(seen.instance.launch_index)],
    "launch-time": lambda seen: [time_text(seen.instance.created_at)],
    "monitoring-state": lambda seen: ["disabled"],
    "owner-id": lambda seen: [seen.account],
    "private-dns-name": lambda seen: [seen.instance.name],
    "private-ip-address": lambda seen: [seen.instance.address] if seen.instance.address else [],
    "ramdisk-id": lambda seen: [ramdisk_id(seen.instance.ramdisk_id)] if seen.instance.ramdisk_id else [],
    "reason": lambda seen: [seen.transition] if seen.transition else [],
    "reservation-id": lambda seen: [seen.reservation_id],
    "root-device-type": lambda seen: ["instance-store"],
    "source-dest-check": lambda seen: ["false"],
    "state-reason-code": lambda seen: _reason_texts(seen, "Code"),
    "state-reason-message": lambda seen: _reason_texts(seen, "Message"),
    "tenancy": lambda seen: ["host"],
    "virtualization-type": lambda seen: ["hvm"],
}

_STATUS_LOOKS: Looks[Seen] = {
    "availability-zone": lambda seen: [seen.zone],
    "availability-zone-id": lambda seen: [seen.zone],
    "instance-state-code": lambda seen: [str(seen.state.code)],
    "instance-state-name": lambda seen: [seen.state.name],
    "instance-status.reachability": lambda seen: [one["Status"] for one in _details(seen)],
    "instance-status.status": lambda seen: [_status(seen)],
    "system-status.reachability": lambda seen: [one["Status"] for one in _details(seen)],
    "system-status.status": lambda seen: [_status(seen)],
}


def look(tx: Tx, call: Call, instances: Iterable[Instance]) -> list[Seen]:
    """Instances, as who asks is told of them, with their nodes, images and tags: one question for all of
    each."""
    found = list(instances)
    nodes = {n.id: n for n in _named(tx, Node, (one.node_id for one in found))}
    images = {i.id: i for i in _named(tx, Image, (one.image_id for one in found))}
    orders, failed = pending_orders(tx, nodes), failed_orders(tx, nodes)
    tags = tags_of(tx, call.tenant, [instance_id(one.id) for one in found])
    return [
        Seen(
            instance=instance_for(call.context.who, one),
            state=state_of(one, nodes.get(one.node_id or ""), orders.get(one.id)),
            image=images.get(one.image_id),
            node=nodes.get(one.node_id or ""),
            tags=tags(instance_id(one.id)),
            zone=_zone(call, one, nodes.get(one.node_id or "")),
            account=call.account,
            transition=transition_reason(call.context.who, failed.get(one.id)),
        )
        for one in found
    ]


def _zone(call: Call, instance: Instance, node: Node | None) -> str:
    zone = zone_of(node) if node is not None else instance.zone or DEFAULT
    return ec2_zone(call.context.region, zone)


def _named(tx: Tx, kind: type[R], ids: Iterable[str | None]) -> list[R]:
    named = tuple(dict.fromkeys(id for id in ids if id))
    return tx.find(kind, where={"id": named}) if named else []


def named_instances(tx: Tx, call: Call) -> list[Instance]:
    """Those that the request names. Raises as `find_instance`."""
    return [find_instance(tx, call.tenant, id) for id in bounded(call.given["InstanceIds"])]


def _asked(
    tx: Tx, call: Call, operation: str, looks: Looks[Seen], states: frozenset[State] | None = None
) -> tuple[list[Seen], str | None]:
    """states: those that are wanted; None: all."""
    if call.given.get("InstanceIds"):
        if "MaxResults" in call.given:
            told = "The parameter InstanceIds cannot be used with the parameter MaxResults"
            raise Ec2Error("InvalidParameterCombination", told)
        found = named_instances(tx, call)
    else:
        found = tx.find(Instance, where={"tenant": call.tenant, "state": LIVE})
        if states is None:
            found += _lately_gone(tx, call)
    wanted = Filters(call.given.get("Filters", ()), looks, lambda seen: seen.tags, OTHERS[operation])
    seen = (one for one in look(tx, call, found) if states is None or one.state in states)
    return page(call.given, filter(wanted, seen), lambda one: one.id)


def _lately_gone(tx: Tx, call: Call) -> list[Instance]:
    since = Since(tx.now() - timedelta(seconds=TOLD_S))
    gone = {"tenant": call.tenant, "state": InstanceState.DELETED, "updated_at": since}
    return tx.find(Instance, where=gone)


def describe_instances(tx: Tx, call: Call) -> Members:
    seen, token = _asked(tx, call, "DescribeInstances", _LOOKS)
    return {"Reservations": reservations(seen), "NextToken": token}


def reservations(seen: Iterable[Seen]) -> list[Members]:
    """Instances by the order that asked for them, in which they are in the order of their launch."""
    together: dict[str, list[Seen]] = {}
    for one in seen:
        together.setdefault(one.reservation_id, []).append(one)
    return [
        {
            "ReservationId": id,
            "OwnerId": siblings[0].account,
            "Groups": [],
            "Instances": [view(one) for one in sorted(siblings, key=lambda one: one.instance.launch_index)],
        }
        for id, siblings in together.items()
    ]


def view(seen: Seen) -> Members:
    one = seen.instance
    return {
        "AmiLaunchIndex": one.launch_index,
        "ImageId": seen.image_id,
        "InstanceId": seen.id,
        "InstanceType": one.flavor.name,
        "KernelId": kernel_id(one.kernel_id) if one.kernel_id else None,
        "KeyName": one.key_name or None,
        "LaunchTime": one.created_at,
        "Monitoring": {"State": "disabled"},
        "Placement": {
            "AvailabilityZone": seen.zone,
            "GroupName": "",
            "Tenancy": "host",
            "HostId": seen.node.name if seen.node else one.node_name,
        },
        "PrivateDnsName": one.name,
        "PrivateIpAddress": one.address or None,
        "PublicDnsName": "",
        "ProductCodes": [],
        "RamdiskId": ramdisk_id(one.ramdisk_id) if one.ramdisk_id else None,
        "State": seen.state.members(),
        "StateReason": _reason(one),
        "StateTransitionReason": seen.transition,
        "Architecture": seen.image.arch if seen.image else None,
        "BlockDeviceMappings": [],
        "ClientToken": one.client_token or None,
        "RootDeviceType": "instance-store",
        "VirtualizationType": "hvm",
        "SecurityGroups": [],
        "NetworkInterfaces": [],
        "SourceDestCheck": False,
        "EbsOptimized": False,
        "Tags": tag_set(seen.tags),
    }


def _reason(one: Instance) -> Members | None:
    """Why it failed, or why it waits. What failed on a node that it had before is over."""
    if one.failure is not None and one.state is InstanceState.ERROR:
        return {"Code": "Server.InternalError", "Message": f"{one.failure.code}: {one.failure.message}"}
    if one.state is InstanceState.REQUESTED and one.waiting_for:
        return {"Code": "pending", "Message": one.waiting_for}
    return None


def _reason_texts(seen: Seen, member: str) -> list[str]:
    reason = _reason(seen.instance)
    return [] if reason is None else [reason[member]]


def describe_instance_status(tx: Tx, call: Call) -> Members:
    everything = call.given.get("IncludeAllInstances", False)
    states = None if everything else frozenset({RUNNING})
    seen, token = _asked(tx, call, "DescribeInstanceStatus", _STATUS_LOOKS, states)
    return {"InstanceStatuses": [_status_view(one) for one in seen], "NextToken": token}


def _status_view(seen: Seen) -> Members:
    status, details = _status(seen), _details(seen)
    return {
        "AvailabilityZone": seen.zone,
        "InstanceId": seen.id,
        "InstanceState": seen.state.members(),
        "InstanceStatus": {"Status": status, "Details": details},
        "SystemStatus": {"Status": status, "Details": details},
    }


def _details(seen: Seen) -> list[dict[str, str]]:
    return [{"Name": "reachability", "Status": "passed"}] if _status(seen) == "ok" else []


def _status(seen: Seen) -> str:
    """It was seen running before it was called so."""
    if seen.state is RUNNING:
        return "ok"
    return "not-applicable" if seen.state in (STOPPED, TERMINATED) else "initializing"

"""What state an instance is in, as EC2 has states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from provisioner.api.instance_power import Power, orders_of, power_of
from provisioner.core.model import Instance, Node, NodeRequest, RequestState
from provisioner.core.roles import Principal
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx


class State(NamedTuple):
    code: int
    name: str

    def members(self) -> dict[str, int | str]:
        return {"Code": self.code, "Name": self.name}


PENDING = State(0, "pending")
RUNNING = State(16, "running")
SHUTTING_DOWN = State(32, "shutting-down")
TERMINATED = State(48, "terminated")
STOPPING = State(64, "stopping")
STOPPED = State(80, "stopped")

_AS_IT_IS: Mapping[InstanceState, State] = MappingProxyType(
    {
        InstanceState.REQUESTED: PENDING,
        InstanceState.BUILDING: PENDING,
        # It never ran and never will: what EC2 says of a launch that failed. Its node is still its own until
        # its owner terminates it.
        InstanceState.ERROR: TERMINATED,
        InstanceState.DELETING: SHUTTING_DOWN,
        InstanceState.DELETED: TERMINATED,
    }
)

_OF_POWER: Mapping[Power, State] = MappingProxyType(
    {
        Power.RUNNING: RUNNING,
        Power.STOPPING: STOPPING,
        Power.STOPPED: STOPPED,
        Power.STARTING: PENDING,
    }
)

_FAILED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("power:off", "power:soft", "power:shutdown"), "stopped"),
        **dict.fromkeys(("power:cycle", "power:reset"), "rebooted"),
        "power:on": "started",
    }
)
"""What an order of its power was to bring about."""


def state_of(instance: Instance, node: Node | None, ordered: Power | None) -> State:
    """ordered: as of `pending_orders`."""
    if instance.delete_requested and instance.state is not InstanceState.DELETED:
        return SHUTTING_DOWN
    power = power_of(instance, node.power_state if node else None, ordered)
    return _AS_IT_IS[instance.state] if power is None else _OF_POWER[power]


def failed_orders(tx: Tx, nodes: Iterable[str]) -> dict[str, NodeRequest]:
    """By the instance's id, the last order of its node's power where that failed."""
    some_failed = {one.node_id for one in orders_of(tx, nodes, state=RequestState.FAILED)}
    last: dict[str, NodeRequest] = {}
    orders = orders_of(tx, sorted(some_failed))
    for order in sorted(orders, key=lambda one: (one.created_at, one.id)):
        if order.instance_id and order.verb in _FAILED:
            last[order.instance_id] = order
    return {id: order for id, order in last.items() if order.state is RequestState.FAILED}


def transition_reason(who: Principal, failed: NodeRequest | None) -> str:
    """What became of the last order of an instance's power; what its device said, for operators alone."""
    if failed is None:
        return ""
    why = failed.answer if who.oversees else "its operators are told why"
    return f"Server.InternalError: it couldn't be {_FAILED[failed.verb]}: {why}"

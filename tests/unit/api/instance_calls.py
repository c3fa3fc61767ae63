"""An instance that is asked for, and one that has its node."""

from __future__ import annotations

from typing import Any

from provisioner.core.model import Instance, Node
from provisioner.core.states import InstanceState
from tests.unit.api.conftest import Api, node_entry


def order(name: str = "web", **changes: Any) -> dict[str, Any]:
    return {"name": name, "flavor": "small", "image": "root"} | changes


def place(api: Api, state: InstanceState = InstanceState.ACTIVE) -> str:
    """The instance web, on the node n1. Returns that one's id."""
    made = api.post("/v1/instances", order(), 202)
    node = api.post("/v1/nodes", node_entry(), 201)

    def change(tx: Any) -> None:
        tx.update(Instance, made["id"], {"state": state, "node_id": node["id"], "address": "10.77.0.100"})
        tx.update(Node, node["id"], {"instance_id": made["id"]})

    api.transact(change)
    return str(node["id"])

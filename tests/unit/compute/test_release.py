from __future__ import annotations

import asyncio

import pytest

from provisioner.compute.release import release_for_deletion
from provisioner.core.model import Instance, Node
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.store import open_store
from tests.unit.records import instance, node


def test_of_an_instance_that_no_node_carries_any_more_little_is_left() -> None:
    async def story() -> Instance | None:
        store = open_store("memory:")
        lost = instance(
            node_id="node-1",
            state=InstanceState.DELETING,
            user_data="#!/bin/sh\n",
            public_key="ssh-ed25519 A",
        )
        idle = node(id="node-1", state=ProvisionState.AVAILABLE)
        await store.transact(lambda tx: tx.insert(lost, idle))
        assert not await store.transact(lambda tx: release_for_deletion(tx, lost.id, "work-1", host="host"))
        return await store.transact(lambda tx: tx.get(Instance, lost.id))

    gone = asyncio.run(story())
    assert gone is not None
    assert (gone.state, gone.user_data, gone.public_key) == (InstanceState.DELETED, "", "")


@pytest.mark.parametrize("owner", ["host", "other", None])
def test_a_node_is_cleaned_by_its_owner_alone(owner: str | None) -> None:
    """A host that couldn't withdraw what it served still knows the node."""

    async def story() -> Node | None:
        store = open_store("memory:")
        unwanted = instance(node_id="node-1", state=InstanceState.DELETING)
        carries = node(id="node-1", state=ProvisionState.ACTIVE, instance_id=unwanted.id, owner=owner)
        await store.transact(lambda tx: tx.insert(unwanted, carries))
        begun = await store.transact(lambda tx: release_for_deletion(tx, unwanted.id, "work-1", host="host"))
        assert begun is (owner == "host")
        return await store.transact(lambda tx: tx.get(Node, "node-1"))

    found = asyncio.run(story())
    assert found is not None
    assert (found.work is not None) is (owner == "host")

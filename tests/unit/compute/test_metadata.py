from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from provisioner.compute.metadata import StoredMetadata
from provisioner.core.metadata import Folder
from provisioner.core.model import Port
from provisioner.core.states import InstanceState
from provisioner.protocols.metadata import Told
from provisioner.store.memory import MemoryStore
from tests.unit import records

INSTANCE, IMAGE = "0f5e9c1e-1111-4222-8333-444444444444", "ab5e9c1e-1111-4222-8333-444444444444"
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")


def about(
    address: str,
    instance: Mapping[str, Any] | None = None,
    node: Mapping[str, Any] | None = None,
) -> Told | None:
    """What is told to `address`: n1 has 10.0.0.1, 10.0.0.2 and an instance, n2 has 10.0.0.3 and none."""

    async def story() -> Told | None:
        store = MemoryStore(lambda: records.NOW)
        await store.transact(lambda tx: _fill(tx, instance or {}, node or {}))
        source = StoredMetadata(store, region="metal", network="10.0.0.0/24")
        return await source.of(address)

    return asyncio.run(story())


def _fill(tx: Any, instance: Mapping[str, Any], node: Mapping[str, Any]) -> None:
    told: dict[str, Any] = {
        "image_id": IMAGE,
        "kernel_id": None,
        "ramdisk_id": None,
        "public_key": "ssh-ed25519 AAAA me",
        "key_name": "me",
        "user_data": "#!/bin/sh\n",
        "state": InstanceState.ACTIVE,
        "node_id": "n1",
        "tenant": "red",
    }
    tx.insert(
        records.image(id=IMAGE),
        records.instance(id=INSTANCE, **{**told, **instance}),
        records.node(id="n1", name="n1", **{"instance_id": INSTANCE, **node}),
        records.node(id="n2", name="n2"),
        Port(id=MACS[1], node_id="n1", address="10.0.0.2", boot=False),
        Port(id=MACS[0], node_id="n1", address="10.0.0.1"),
        Port(id="52:54:00:00:00:03", node_id="n2", address="10.0.0.3"),
    )


def text(told: Told | None, path: str) -> str:
    assert told is not None
    found = told.tree.find(path.split("/"))
    assert found is not None, path
    return found.listing() if isinstance(found, Folder) else found


def test_an_instance_is_told_where_its_ephemeral_storage_is() -> None:
    assert "block-device-mapping" not in text(about("10.0.0.1"), "meta-data")
    told = about("10.0.0.1", instance={"flavor": records.flavor(ephemeral_mib=1)})
    assert text(told, "meta-data/block-device-mapping") == "ephemeral0"
    found = text(told, "meta-data/block-device-mapping/ephemeral0")
    assert found == "/dev/disk/by-label/ephemeral0"


def test_an_instance_is_told_who_it_is() -> None:
    told = about("10.0.0.1")
    assert told is not None and told.instance_id == "i-0f5e9c1e111142228"
    assert text(told, "meta-data/instance-id") == "i-0f5e9c1e111142228"
    assert text(told, "meta-data/ami-id") == "ami-ab5e9c1e111142228"
    assert text(told, "meta-data/local-ipv4") == "10.0.0.1"
    assert text(told, "meta-data/public-keys") == "0=me"
    assert text(told, "meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA me"
    assert text(told, "meta-data/network/interfaces/macs") == "".join(f"{mac}/\n" for mac in MACS).strip()
    assert text(told, f"meta-data/network/interfaces/macs/{MACS[1]}/local-ipv4s") == "10.0.0.2"
    assert text(told, "user-data") == "#!/bin/sh\n"
    identity = json.loads(text(told, "dynamic/instance-identity/document"))
    assert (identity["instanceId"], identity["region"]) == (told.instance_id, "metal")


def test_it_is_asked_at_the_port_that_asks() -> None:
    assert text(about("10.0.0.2"), "meta-data/mac") == MACS[1]


def test_what_there_is_not_is_not_listed() -> None:
    told = about("10.0.0.1", {"public_key": "", "user_data": "", "key_name": ""})
    assert "public-keys" not in text(told, "meta-data")
    assert told is not None and told.tree.find(["user-data"]) is None
    assert "user-data" not in told.tree.listing()


@pytest.mark.parametrize(
    ("instance", "node"),
    [
        ({"state": InstanceState.DELETING}, {}),
        ({"state": InstanceState.DELETED}, {}),
        ({"state": InstanceState.ERROR}, {}),
        ({"delete_requested": True}, {}),
        ({"node_id": "n2"}, {}),
        ({}, {"instance_id": None}),
    ],
)
def test_nothing_is_told_where_no_instance_runs(instance: Mapping[str, Any], node: Mapping[str, Any]) -> None:
    assert about("10.0.0.1", instance, node) is None


def test_nothing_is_told_to_a_node_without_an_instance_and_to_no_node() -> None:
    assert about("10.0.0.3") is None
    assert about("10.0.0.9") is None


def test_user_data_is_in_no_representation() -> None:
    assert "bin/sh" not in repr(about("10.0.0.1"))

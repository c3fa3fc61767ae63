"""Which instance an address is, and what it may know of itself."""

from __future__ import annotations

from provisioner.core.ec2_ids import instance_id
from provisioner.core.metadata import Place, metadata_of
from provisioner.core.model import Image, Instance, Node, Port
from provisioner.core.states import InstanceState
from provisioner.core.zones import ec2_zone, zone_of
from provisioner.protocols.metadata import Told
from provisioner.protocols.store import Store, Tx

RUNS = frozenset({InstanceState.BUILDING, InstanceState.ACTIVE})


class StoredMetadata:
    """`protocols.metadata.MetadataSource`."""

    def __init__(self, store: Store, *, region: str, network: str) -> None:
        self._store = store
        self._region = region
        self._network = network

    async def of(self, address: str) -> Told | None:
        return await self._store.transact(lambda tx: self._look(tx, address))

    def _look(self, tx: Tx, address: str) -> Told | None:
        asks = next(iter(tx.find(Port, where={"address": address}, limit=1)), None)
        node = tx.get(Node, asks.node_id) if asks else None
        instance = tx.get(Instance, node.instance_id) if node and node.instance_id else None
        if asks is None or node is None or instance is None:
            return None
        # What is to be deleted may no longer know what it was told: its node is about to be another's.
        if instance.node_id != node.id or instance.state not in RUNS or instance.delete_requested:
            return None
        image = tx.get(Image, instance.image_id)
        if image is None:
            return None
        ports = tx.find(Port, where={"node_id": node.id})
        zone = ec2_zone(self._region, zone_of(node))
        place = Place(region=self._region, zone=zone, network=self._network)
        ports.sort(key=lambda port: (not port.boot, port.id))
        return Told(
            instance_id=instance_id(instance.id),
            awaited=instance.state is InstanceState.BUILDING,
            tree=metadata_of(instance, image, ports, asks, place),
            at=tx.now(),
        )

"""Reads all that a node's work needs, in one transaction."""

from __future__ import annotations

from provisioner.compute.context import StepContext
from provisioner.compute.edges import Edges
from provisioner.compute.ledger import NodeLedger
from provisioner.core.model import Image, Instance, Node, Port
from provisioner.protocols.store import Tx


async def load_context(edges: Edges, node_id: str) -> StepContext | None:
    """The context of the node's work, or None when it is not ours or has none."""

    def load(tx: Tx) -> StepContext | None:
        node = tx.get(Node, node_id)
        if node is None or node.work is None or node.owner != edges.lease.host:
            return None
        instance = tx.get(Instance, node.instance_id) if node.instance_id else None
        image = tx.get(Image, instance.image_id) if instance else None
        kernel_id = (instance.kernel_id if instance else None) or (image.kernel_id if image else None)
        ramdisk_id = (instance.ramdisk_id if instance else None) or (image.ramdisk_id if image else None)
        return StepContext(
            edges=edges,
            ledger=NodeLedger(edges.store, node),
            device=edges.device(node),
            mailbox=edges.evidence.mailbox(node.id),
            ports=tuple(tx.find(Port, where={"node_id": node.id})),
            instance=instance,
            image=image,
            kernel=tx.get(Image, kernel_id) if kernel_id else None,
            ramdisk=tx.get(Image, ramdisk_id) if ramdisk_id else None,
        )

    return await edges.store.transact(load)

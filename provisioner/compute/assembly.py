"""Reads all that a node's work needs."""

from __future__ import annotations

from provisioner.compute.context import StepContext
from provisioner.compute.devices import Device
from provisioner.compute.edges import Edges
from provisioner.compute.ledger import NodeLedger
from provisioner.core.errors import HostLacks, PermanentError
from provisioner.core.model import Image, Instance, Node, Port
from provisioner.core.plan import PLANS
from provisioner.core.states import PowerState
from provisioner.protocols.power import BootDevice, PowerVerb
from provisioner.protocols.store import Tx


def load_context(tx: Tx, edges: Edges, node_id: str) -> StepContext | None:
    """The context of the node's work, or None when it is not ours or has none."""
    node = tx.get(Node, node_id)
    if node is None or node.work is None or node.owner != edges.lease.host:
        return None
    instance = tx.get(Instance, node.instance_id) if node.instance_id else None
    # What it is taken back from doesn't matter to a node.
    image = tx.get(Image, instance.image_id) if instance and PLANS[node.work.plan].deploys else None
    kernel_id = ramdisk_id = None
    if instance and image:
        kernel_id = instance.kernel_id or image.kernel_id
        ramdisk_id = instance.ramdisk_id or image.ramdisk_id
    return StepContext(
        edges=edges,
        ledger=NodeLedger(edges.store, node),
        device=_device(edges, node),
        mailbox=edges.evidence.mailbox(node.id),
        ports=tuple(tx.find(Port, where={"node_id": node.id})),
        instance=instance,
        image=image,
        kernel=tx.get(Image, kernel_id) if kernel_id else None,
        ramdisk=tx.get(Image, ramdisk_id) if ramdisk_id else None,
    )


def _device(edges: Edges, node: Node) -> Device:
    """The node's power device; where this host can't make it, one that says so when it is asked: by then
    it is known which step needs it."""
    try:
        return edges.device(node)
    except PermanentError as error:
        lacks = HostLacks(error.tried, device=error.device, answer=error.answer, advice=error.advice)
        return Device(f"power device of node {node.name}", _Lacking(lacks))


class _Lacking:
    """`PowerControl` and `BootDeviceControl`: raises what kept it from being one."""

    longest_command_s = 0.0

    def __init__(self, why: HostLacks) -> None:
        self._why = why

    async def power_state(self) -> PowerState:
        raise self._why

    async def set_power(self, verb: PowerVerb) -> None:
        raise self._why

    async def set_boot_device(self, device: BootDevice, *, persistent: bool, uefi: bool) -> None:
        raise self._why

    async def boot_device(self) -> BootDevice | None:
        raise self._why

"""Clean, and nobody's."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node
from provisioner.core.states import ProvisionState


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if node.state is not ProvisionState.AVAILABLE or node.instance_id is not None:
        return f"it is {node.state}"  # and not whose: the requester may be of another tenant
    return None

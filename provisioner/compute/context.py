"""What one step of one node has in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.compute.devices import Device
from provisioner.compute.edges import Edges
from provisioner.compute.evidence import Mailbox
from provisioner.compute.ledger import NodeLedger
from provisioner.core.errors import StateError
from provisioner.core.model import Image, Instance, Node, Port, Work
from provisioner.protocols.agent import AgentClient
from provisioner.protocols.image import DiskTarget


@dataclass(slots=True, kw_only=True)
class StepContext:
    """`target` is the disk as exported for this attempt: it carries a secret, so it lives here only.
    `instance` and `image` are there in a deploy; `instance` in a cleaning only if one is released."""

    edges: Edges
    ledger: NodeLedger
    device: Device
    mailbox: Mailbox
    ports: tuple[Port, ...]
    instance: Instance | None
    image: Image | None
    kernel: Image | None
    ramdisk: Image | None
    resumed: bool = False  # another process began this step: what the node asked for meanwhile got no answer
    target: DiskTarget | None = None
    agent: tuple[str, AgentClient] | None = None  # with the sealed token that it was made for

    @property
    def node(self) -> Node:
        return self.ledger.node

    @property
    def work(self) -> Work:
        if self.node.work is None:
            raise StateError("go on with a plan", device=f"node {self.node.name}", answer="it has no work")
        return self.node.work

    @property
    def facts(self) -> Mapping[str, Any]:
        """What earlier steps of this work found out."""
        return self.work.facts

    @property
    def boot_port(self) -> Port:
        return next(port for port in self.ports if port.boot)

    def deploy(self) -> tuple[Instance, Image]:
        """Instance and image of a deploy. Raises StateError when they are gone."""
        if self.instance is None or self.image is None:
            raise StateError(
                "deploy", device=f"node {self.node.name}", answer="its instance or image is gone"
            )
        return self.instance, self.image

    def progress(self, fraction: float) -> None:
        self.edges.progress.set(self.node.id, fraction)

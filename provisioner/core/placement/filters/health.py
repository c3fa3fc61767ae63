"""A node whose deploys keep failing isn't given to anybody by itself."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node

FAILURES_IN_A_ROW = 3
"""Who takes a node out of maintenance says that it is mended: they are counted anew from there."""


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    if node.deploy_failures < FAILURES_IN_A_ROW or instance.node_name is not None:
        return None
    return f"its last {node.deploy_failures} deploys failed by its own fault"

"""CPUs, memory and disk: at least what is asked for."""

from __future__ import annotations

from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.sizes import disk_needed_mib


def refuses(instance: Instance, image: Image, node: Node) -> str | None:
    flavor = instance.flavor
    needs = (
        ("CPUs", flavor.cpus, node.cpus),
        ("MiB of memory", flavor.memory_mib, node.memory_mib),
        ("MiB of disk", disk_needed_mib(flavor, image, node.deploy_driver), node.disk_mib),
    )
    for what, needed, there in needs:
        if there < needed:
            return f"it has {there} {what}, {needed} are needed"
    return None

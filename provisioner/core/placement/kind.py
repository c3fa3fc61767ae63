"""What nodes have in common that are alike to filters and to the weighers of nodes, and what requests have in
common that ask for the same."""

from __future__ import annotations

from collections.abc import Hashable

from provisioner.core.extra_specs import facts, traits
from provisioner.core.model import Image, Instance, Node
from provisioner.core.states import PowerState


def kind_of(node: Node) -> Hashable:
    """Equal for two nodes when every filter of `OF_ITS_KIND`, and every weigher of nodes, says the same of
    both."""
    return (
        *(node.state, node.instance_id, node.owner, node.zone, node.reserved_for),
        *(node.maintenance, node.deploy_failures),
        node.power_state is PowerState.UNKNOWN,
        tuple(facts(node).items()),
        tuple(sorted(node.capabilities.items())),
        traits(node),
    )


def demand_of(instance: Instance, image: Image) -> Hashable:
    """Equal for two requests when every filter of `OF_ITS_KIND` says the same to both."""
    flavor = instance.flavor
    return (
        *(flavor.name, flavor.cpus, flavor.memory_mib),
        *(flavor.disk_mib, flavor.swap_mib, flavor.ephemeral_mib),
        tuple(flavor.extra_specs.items()),
        *(image.id, image.arch, image.kind, image.virtual_size_bytes),
        *(instance.tenant, instance.zone, instance.host_name, instance.node_name is None),
    )

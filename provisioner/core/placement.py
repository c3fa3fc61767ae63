"""Which node an instance gets: filters in an explicit list, then weighers in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from provisioner.core.extra_specs import unmet
from provisioner.core.feeds import pdus_of
from provisioner.core.model import Flavor, Image, ImageKind, Instance, Node
from provisioner.core.states import ProvisionState

CONFIG_DRIVE_MIB = 8
ALIGNMENT_MIB = 2  # partition tables at both ends of the disk


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one node can't carry the instance."""

    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen node, or None and why each node was refused."""

    node: Node | None
    refusals: tuple[Refusal, ...]

    def explain(self) -> str:
        """One line for the requester; the commonest reasons, not a list of a thousand nodes."""
        if not self.refusals:
            return "no nodes are enrolled"
        counts: dict[str, int] = {}
        for refusal in self.refusals:
            counts[refusal.why] = counts.get(refusal.why, 0) + 1
        if len(self.refusals) == 1:
            return f"node {self.refusals[0].node}: {self.refusals[0].why}"
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
        return "no node fits: " + "; ".join(f"{count} × {why}" for why, count in ranked)


def disk_needed_mib(flavor: Flavor, image: Image, deploy_driver: str) -> int:
    """What root, swap, config drive and partition tables take on the node's disk, at least. A root by NFS
    takes nothing: the node needs no disk."""
    if deploy_driver == "nfs":
        return 0
    image_mib = -(-image.virtual_size_bytes // 2**20)
    return max(image_mib, flavor.disk_mib) + flavor.swap_mib + CONFIG_DRIVE_MIB + ALIGNMENT_MIB


Filter = Callable[[Instance, Image, Node], str | None]


def _is_the_named_one(instance: Instance, image: Image, node: Node) -> str | None:
    if instance.node_name is not None and node.name != instance.node_name:
        return f"the request names node {instance.node_name}"
    return None


def _is_free(instance: Instance, image: Image, node: Node) -> str | None:
    if node.state is not ProvisionState.AVAILABLE or node.instance_id is not None:
        return f"it is {node.state}"  # and not whose: the requester may be of another tenant
    return None


def _is_not_in_maintenance(instance: Instance, image: Image, node: Node) -> str | None:
    return "it is in maintenance" if node.maintenance else None


def _is_owned(instance: Instance, image: Image, node: Node) -> str | None:
    return "no compute host owns it" if node.owner is None else None


def _has_the_architecture(instance: Instance, image: Image, node: Node) -> str | None:
    return f"image {image.name} is for {image.arch}, not {node.arch}" if image.arch != node.arch else None


def _is_as_specified(instance: Instance, image: Image, node: Node) -> str | None:
    return unmet(instance.flavor.extra_specs, node)


def _takes_the_kind_of_image(instance: Instance, image: Image, node: Node) -> str | None:
    if node.deploy_driver == "nfs":
        if image.kind is not ImageKind.ROOT:
            return f"its root is served by NFS, and image {image.name} is a whole disk"
        if instance.flavor.swap_mib:
            return f"its root is served by NFS, and flavor {instance.flavor.name} asks for swap on a disk"
    return None


def _is_large_enough(instance: Instance, image: Image, node: Node) -> str | None:
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


FILTERS: tuple[Filter, ...] = (
    _is_the_named_one,
    _is_free,
    _is_not_in_maintenance,
    _is_owned,
    _is_as_specified,
    _has_the_architecture,
    _takes_the_kind_of_image,
    _is_large_enough,
)


def refusal(instance: Instance, image: Image, node: Node) -> str | None:
    """The first reason why `node` can't carry the instance, or None."""
    for check in FILTERS:
        why = check(instance, image, node)
        if why is not None:
            return why
    return None


@dataclass(frozen=True, slots=True)
class Fitting:
    """A node that fits. on_its_pdus: how many such nodes hang on the one of its PDUs that has the fewest."""

    node: Node
    on_its_pdus: int


Weigher = Callable[[Fitting], Any]
"""The node with the smallest goes first; what is equal is left to the next weigher."""


def _best_fit(fitting: Fitting) -> tuple[int, int, int]:
    """A large machine is kept for whoever needs it."""
    return fitting.node.memory_mib, fitting.node.cpus, fitting.node.disk_mib


def _spread(fitting: Fitting) -> int:
    """Where most are free: instances don't share a PDU as long as there are others."""
    return -fitting.on_its_pdus


def _in_order(fitting: Fitting) -> str:
    """So that a dry run tells the truth."""
    return fitting.node.name


WEIGHERS: tuple[Weigher, ...] = (_best_fit, _spread, _in_order)


def place(instance: Instance, image: Image, nodes: Iterable[Node]) -> Placement:
    """Of the nodes that fit, the one that the weighers put first."""
    free: list[tuple[Node, frozenset[str]]] = []
    refusals: list[Refusal] = []
    for node in nodes:
        why = refusal(instance, image, node)
        if why is None:
            free.append((node, pdus_of(node.power_driver, node.power_address)))
        else:
            refusals.append(Refusal(node.name, why))
    on = Counter(pdu for _, pdus in free for pdu in pdus)
    fitting = (Fitting(node, min((on[pdu] for pdu in pdus), default=0)) for node, pdus in free)
    best = min(fitting, key=lambda one: tuple(weigh(one) for weigh in WEIGHERS), default=None)
    return Placement(best.node if best else None, tuple(refusals))

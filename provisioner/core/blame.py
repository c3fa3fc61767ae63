"""Whose fault a failed deploy is, as data, and what follows from it.

A fault of the node's own goes with the node: another one may do, and this one is kept from those who come
next. A fault of anything else would befall the next node as well, and the one after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from provisioner.core.model import Failure, Instance

MOST_MOVES = 2
"""A request that failed on so many nodes before isn't given a further one."""

FEW_ALIKE = 4
SHARE_ALIKE = 10
"""When so many nodes, and one in so many, are out of service with the same code, it isn't the nodes any
more."""


@dataclass(frozen=True, slots=True)
class Blame:
    """own: the node's; reason: why it is seen so."""

    own: bool
    reason: str


BLAME: Mapping[str, Blame] = MappingProxyType(
    {
        # Its power device, its entry.
        "device-unreachable": Blame(
            True, "its BMC, its PDU or its agent doesn't answer, nor to another host"
        ),
        "device-left-alone": Blame(
            True, "its power device hasn't answered for so long that it is left alone"
        ),
        "device-busy": Blame(True, "its power device goes on being busy"),
        "device-refused": Blame(True, "its power device says no"),
        "wrong-credentials": Blame(True, "its power device doesn't accept the password of its entry"),
        # Its boot.
        "agent-never-reported": Blame(True, "it never came up: NIC, cable, switch port, memory, firmware"),
        "agent-lost": Blame(True, "it went down in mid-deploy, again and again"),
        "agent-of-another-version": Blame(False, "every node boots the same ramdisk"),
        # Its disks.
        "disk-missing": Blame(True, "the disk of its entry isn't there"),
        "disk-too-small": Blame(True, "its disk is smaller than its entry says"),
        "disk-error": Blame(True, "its disk can't be read or written"),
        "write-failed": Blame(True, "its disk, or its wire, fails write after write"),
        "not-a-disk": Blame(True, "what its entry calls a disk is none"),
        "image-differs-on-disk": Blame(True, "its disk gives back other bytes than were written"),
        "partitioning-failed": Blame(True, "no partition table can be written to its disk"),
        "ephemeral-failed": Blame(True, "ephemeral storage can't be made on its disk"),
        "swap-failed": Blame(True, "swap can't be made on its disk"),
        # What it was given.
        "instance-never-seen": Blame(False, "an image that doesn't start does so nowhere"),
        "filter-failed": Blame(False, "the rules are what its owner asked for, and it answered before"),
        "monitor-failed": Blame(False, "it answers pings, and its monitor may be another release's"),
        "boot-stopped": Blame(False, "what it was given doesn't start, its own console says"),
        "image-invalid": Blame(False, "the image's bytes aren't what was promised"),
        "image-too-large": Blame(False, "the image is larger than what was asked for"),
        "no-partition-table": Blame(False, "the image has none that can be used"),
        "partition-table-full": Blame(False, "the image's has no room left"),
        "file-system-damaged": Blame(
            False, "the image's file system is, since its bytes were read back well"
        ),
        "not-grown": Blame(False, "the image's file system can't be grown"),
        "config-drive-too-small": Blame(False, "the user data is too long"),
        "config-drive-differs": Blame(
            False, "it was written by ourselves, beside an image that was read back"
        ),
        "digests-not-comparable": Blame(False, "ramdisk and image are of different versions"),
        # Ours.
        "storage-full": Blame(False, "the controller's disk is full"),
        "host-lacks": Blame(False, "the compute hosts that tried aren't equipped for it"),
        "defect": Blame(False, "it is the provisioner's"),
        "internal-error": Blame(False, "it is the agent's"),
        "export-failed": Blame(False, "it is the agent's"),
        "misaligned": Blame(False, "agent and provisioner don't understand each other"),
        "invalid-command": Blame(False, "agent and provisioner don't understand each other"),
        "invalid-params": Blame(False, "agent and provisioner don't understand each other"),
        "unknown-command-name": Blame(False, "agent and provisioner are of different versions"),
        "tool-failed": Blame(False, "the tool's own words may tell of anything"),
        "not-found": Blame(False, "something that was asked for is gone"),
        "conflict": Blame(False, "something is in another state than was thought"),
        "invalid-input": Blame(False, "something that was asked for can't be"),
        # Nobody knows.
        "transient": Blame(
            False, "it lies on the way between us and the node, and other nodes share that way"
        ),
        "permanent": Blame(False, "its cause has no name"),
        "failed": Blame(False, "its cause has no name"),
    }
)
"""By a failure's code. What isn't listed isn't held against the node."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a failed deploy.

    own:         it counts against the node
    maintenance: the node is out of service, for this reason; empty: it is not
    moves:       the request goes to another node, if there is one
    told:        what is to be added to the failure's advice
    """

    own: bool = False
    maintenance: str = ""
    moves: bool = False
    told: str = ""


def verdict(failure: Failure, instance: Instance, *, alike: int, nodes: int) -> Verdict:
    """alike: other nodes that are out of service with the same code; nodes: how many there are in all."""
    blame = BLAME.get(failure.code)
    if blame is None or not blame.own:
        return Verdict()
    if instance.node_name is not None:
        # Who asks for it by name is at work on it, and hears the cause.
        return Verdict(own=True)
    if alike >= FEW_ALIKE and alike * SHARE_ALIKE >= nodes:
        told = f"{alike} other nodes are out of service for the same reason: look at what they share"
        return Verdict(told=told)
    reason = f"{out_of_service_for(failure.code)}, in step {failure.step}: {failure.message}"
    return Verdict(own=True, maintenance=reason, moves=len(instance.failed_on) < MOST_MOVES)


def out_of_service_for(code: str) -> str:
    """How the reason of such a maintenance begins."""
    return f"a deploy failed by its fault ({code})"

"""Which of a node's disks gets the image, and which may be wiped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provisioner.core.errors import PermanentError
from provisioner.core.model import Node


def may_be_written(
    disks: Sequence[Mapping[str, Any]], keep: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """The disks but those that match one of `keep`.

    Errors: PermanentError when one of `keep` matches none: who mistypes it would lose what he wants to keep.
    """
    for hint in keep:
        if not any(_is(disk, hint) for disk in disks):
            missing = PermanentError(
                f"spare the disk {_shown(hint)}",
                answer=f"no disk matches; the agent reported: {_named(disks)}",
                advice="Correct the node's keep_disks (provisioner node disks): what isn't named is wiped",
            )
            missing.code = "disk-missing"
            raise missing
    return [disk for disk in disks if not any(_is(disk, hint) for hint in keep)]


def writable_disks(node: Node) -> Sequence[Mapping[str, Any]]:
    """Of those that its agent has reported. Errors: as `may_be_written`."""
    return may_be_written((node.inventory or {"disks": []})["disks"], node.keep_disks)


def choose_root_disk(
    disks: Sequence[Mapping[str, Any]], hint: Mapping[str, Any], needed_bytes: int
) -> Mapping[str, Any]:
    """The disk that matches every value of `hint`, else the smallest one that is large enough.

    disks: as the agent's inventory gives them (path, size_bytes, serial, wwn, model, …).
    Errors: PermanentError naming the disks that are there when none can be used.
    """
    there = _named(disks)
    matching = [disk for disk in disks if _is(disk, hint)]
    if not matching:
        missing = PermanentError(
            f"choose a root disk by the hint {_shown(hint)}" if hint else "choose a root disk",
            answer=f"no disk matches; the agent reported: {there}",
            advice="Correct the node's root_device (provisioner node disks)"
            if hint
            else "Is the disk controller's driver missing?",
        )
        missing.code = "disk-missing"
        raise missing
    large = [disk for disk in matching if int(disk["size_bytes"]) >= needed_bytes]
    if not large:
        error = PermanentError(
            "choose a root disk",
            answer=f"{needed_bytes // 2**20} MiB are needed; the agent reported: {there}",
            advice="Use a smaller image or flavor, or a node with a larger disk",
        )
        error.code = "disk-too-small"
        raise error
    return min(large, key=lambda disk: (int(disk["size_bytes"]), str(disk["path"])))


def _is(disk: Mapping[str, Any], hint: Mapping[str, Any]) -> bool:
    return all(str(disk.get(key)) == str(value) for key, value in hint.items())


def _shown(hint: Mapping[str, Any]) -> str:
    """As `provisioner node disks` takes it."""
    return ",".join(f"{key}={value}" for key, value in hint.items())


def _named(disks: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{disk['path']} ({disk['size_bytes'] // 2**20} MiB)" for disk in disks) or "none"

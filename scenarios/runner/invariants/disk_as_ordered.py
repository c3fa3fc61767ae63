"""An ACTIVE instance has what was ordered around its image: all of the disk, swap, ephemeral storage, and a
config drive of its own."""

from __future__ import annotations

from collections.abc import Iterator

from scenarios.runner.invariants.active_disk import ActiveDisk
from scenarios.runner.invariants.requests_seen import Wanted
from scenarios.runner.stage import DiskTruth


class DiskAsOrdered(ActiveDisk):
    """A disk that doesn't hold the image at all is told by whoever compares that."""

    name = "disk_as_ordered"

    def __init__(self) -> None:
        super().__init__()
        self._made_for: dict[str, str] = {}

    def wrong(self, truth: DiskTruth, instance: Wanted) -> Iterator[str]:
        around = truth.around
        if around is None or truth.image != instance.image:
            return
        if not around.root_fills:
            yield "has a root file system that ends before its partition does"
        if around.ephemeral_mib != instance.ephemeral_mib:
            yield f"has {around.ephemeral_mib} MiB of ephemeral storage instead of {instance.ephemeral_mib}"
        if around.swap_mib != instance.swap_mib:
            yield f"has {around.swap_mib} MiB of swap instead of {instance.swap_mib}"
        owners = {self._made_for.setdefault(made, instance.name) for made in around.made} - {instance.name}
        if owners:
            yield f"has what was made for {', '.join(sorted(owners))}, and is {instance.name}'s"
        if not around.hostname:
            yield "has no config drive"
        elif around.hostname != instance.name:
            yield f"has the config drive of {around.hostname}, and not of {instance.name}"

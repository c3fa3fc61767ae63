"""What an ACTIVE instance runs from is the image that was asked for, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from scenarios.runner.invariants.active_disk import ActiveDisk
from scenarios.runner.invariants.requests_seen import Wanted
from scenarios.runner.stage import DiskTruth


class BytesEqualImage(ActiveDisk):
    name = "bytes_equal_image"

    def wrong(self, truth: DiskTruth, instance: Wanted) -> Iterator[str]:
        if truth.image != instance.image:
            why = f" ({truth.unlike})" if truth.unlike else ""
            yield f"holds {truth.image or 'no whole image'} instead of {instance.image}{why}"

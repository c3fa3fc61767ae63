"""wipe: nothing of an instance is left for the next one to find."""

from __future__ import annotations

import os
from typing import Any

from provisioner.agent import block, kernel_partitions
from provisioner.agent.board import Run
from provisioner.agent.checksum import ALIGNMENT_BYTES, tree_digest_of
from provisioner.agent.disks import all_disks
from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job
from provisioner.agent.kernel_partitions import Span
from provisioner.agent.params import Params
from provisioner.core.image_digest import CHUNK_BYTES, zeros_tree_digest

EDGE_BYTES = 16 * 2**20
"""At both ends of disks and partitions: partition tables, RAID and LVM metadata, super blocks."""


def wipe_command(params: Params) -> Run:
    chosen = params.devices_or_all("devices")
    full = params.text("mode", "quick|full") == "full"

    def run(job: Job) -> dict[str, Any]:
        devices = list(chosen) if chosen is not None else all_disks()
        plans = {device: _spans(device, full) for device in devices}
        total = 2 * sum(end - start for spans in plans.values() for start, end in spans)
        done = 0
        for device, spans in plans.items():
            _remove_signatures(device, job)
            done = _zero(device, spans, job, done, total)
            kernel_partitions.show(device, {}, job)
            done = _verify(device, spans, job, done, total)
        return {"devices": devices, "mode": "full" if full else "quick"}

    return run


def _spans(device: str, full: bool) -> list[Span]:
    with block.opened(device, os.O_RDWR) as fd:
        size = block.size_bytes(fd)
    if full:
        return [(0, size)]
    return edges([(0, size), *kernel_partitions.spans(device).values()], size)


def edges(areas: list[Span], size: int) -> list[Span]:
    """Both ends of each area, on whole blocks (a neighbour is wiped too), overlaps joined."""
    ends: list[Span] = []
    for start, end in areas:
        ends += [(start, min(start + EDGE_BYTES, end)), (max(end - EDGE_BYTES, start), end)]
    joined: list[Span] = []
    for start, end in sorted(ends):
        start -= start % ALIGNMENT_BYTES
        end = min(size, end + -end % ALIGNMENT_BYTES)
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _remove_signatures(device: str, job: Job) -> None:
    """Those that lie elsewhere too, such as the second super block of btrfs, 64 MiB in."""
    for node in [*kernel_partitions.nodes(device).values(), device]:
        job.run(["wipefs", "--all", "--force", "--quiet", node], code="wipe-failed")


def _zero(device: str, spans: list[Span], job: Job, done: int, total: int) -> int:
    for start, end in spans:
        block.zero(device, start, end - start, job, done=done, total=total)
        done += end - start
    return done


def _verify(device: str, spans: list[Span], job: Job, done: int, total: int) -> int:
    for start, end in spans:
        base, size = done, end - start

        def report(read_bytes: int, base: int = base) -> None:
            job.progress(base + read_bytes, total)

        digest = tree_digest_of(device, start, size, CHUNK_BYTES, job, report)
        if digest != zeros_tree_digest(size):
            raise CommandError(
                "wipe-not-proven",
                f"{device} does not read as zeros between byte {start} and {end} after the wipe",
            )
        done += size
    return done

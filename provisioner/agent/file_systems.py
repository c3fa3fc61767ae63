"""grow_root, make_ephemeral, make_swap: what is made in partitions."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from provisioner.agent import block
from provisioner.agent.board import Run
from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job
from provisioner.agent.params import Params

E2FSCK_REPAIRED = 1  # e2fsck(8): exit status, a set of bits; from 4 on, errors are left
EPHEMERAL_LABEL = "ephemeral0"  # as EC2 calls it, and cloud-init looks for it
NOT_FOUND, AMBIVALENT = 2, 8  # blkid(8): exit status


def probe(device: str, job: Job) -> dict[str, str]:
    """Tags of what the device holds (TYPE, UUID, LABEL, PART_ENTRY_UUID, …), from the medium itself."""
    _, out = job.run(["blkid", "-p", "-o", "export", device], ok=(0, NOT_FOUND, AMBIVALENT))
    lines = out.decode(errors="replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def grow_root_command(params: Params) -> Run:
    device = params.device("device")

    def run(job: Job) -> dict[str, Any]:
        kind = probe(device, job).get("TYPE", "")
        if kind not in ("ext2", "ext3", "ext4"):
            return {"grown": False, "fstype": kind, "note": f"not grown: {kind or 'no file system known'}"}
        job.run(["e2fsck", "-f", "-p", device], ok=(0, E2FSCK_REPAIRED), code="file-system-damaged")
        job.run(["resize2fs", device], code="not-grown")
        block.flush(device)
        with block.opened(device, 0) as fd:
            return {"grown": True, "fstype": kind, "size_bytes": block.size_bytes(fd)}

    return run


def make_ephemeral_command(node: str) -> Callable[[Params], Run]:
    def parse(params: Params) -> Run:
        device = params.device("device")
        fs_uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"provisioner:{node}:{device}:ephemeral"))

        def run(job: Job) -> dict[str, Any]:
            # Not discarded first: a disk that is slow at it takes minutes, and the wipe was before.
            argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", "nodiscard"]
            job.run([*argv, "-U", fs_uuid, "-L", EPHEMERAL_LABEL, device], code="ephemeral-failed")
            block.flush(device)
            if probe(device, job).get("UUID") != fs_uuid:
                raise CommandError(
                    "ephemeral-failed", f"the file system was made on {device} and isn't there"
                )
            return {"uuid": fs_uuid, "label": EPHEMERAL_LABEL}

        return run

    return parse


def make_swap_command(node: str) -> Callable[[Params], Run]:
    def parse(params: Params) -> Run:
        device = params.device("device")
        swap_uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"provisioner:{node}:{device}:swap"))

        def run(job: Job) -> dict[str, Any]:
            job.run(["mkswap", "--uuid", swap_uuid, device], code="swap-failed")
            block.flush(device)
            if probe(device, job).get("UUID") != swap_uuid:
                raise CommandError("swap-failed", f"the swap area was written to {device} and isn't there")
            return {"uuid": swap_uuid}

        return run

    return parse

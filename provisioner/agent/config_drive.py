"""write_config_drive: cloud-init's NoCloud files on a FAT file system labelled CIDATA.

By mtools, without mounting: nothing is left mounted, and the kernel needs no FAT.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Any

from provisioner.agent import block
from provisioner.agent.board import Run
from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job
from provisioner.agent.params import Params, invalid

LABEL = "CIDATA"
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_FILES = 32


def config_drive_command(params: Params) -> Run:
    device = params.device("device")
    files = _decoded(params)

    def run(job: Job) -> dict[str, Any]:
        volume_id = f"{zlib.crc32(device.encode()):08x}"
        job.run(["mkfs.vfat", "-n", LABEL, "-i", volume_id, device], code="config-drive-failed")
        for name, content in files.items():
            job.run(["mcopy", "-i", device, "-", f"::{name}"], stdin=content, code="config-drive-failed")
        block.flush(device)
        for name, content in files.items():
            _, there = job.run(["mtype", "-i", device, f"::{name}"], code="config-drive-failed")
            if there != content:
                raise CommandError("config-drive-differs", f"{name} on {device} isn't what was written")
        return {"label": LABEL, "files": sorted(files)}

    return run


def _decoded(params: Params) -> dict[str, bytes]:
    files = params.mapping("files")
    if not files or len(files) > MAX_FILES:
        raise invalid("files", f"must have 1 to {MAX_FILES} entries")
    decoded = {}
    for name, text in files.items():
        if not FILE_NAME.fullmatch(name):
            raise invalid("files", f"has a bad file name: {name[:80]!r}")
        try:
            decoded[name] = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise invalid("files", f"{name} is not base64") from error
    return decoded

"""write_config_drive: cloud-init's NoCloud files on a FAT file system labelled CIDATA."""

from __future__ import annotations

import base64
import os
import re
import zlib
from typing import Any

from provisioner.agent import block, fat
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
        content = _image(device, files)
        with block.opened(device, os.O_RDWR) as fd:
            os.pwrite(fd, content, 0)
        block.flush(device)
        with block.opened(device, os.O_RDONLY) as fd:
            if os.pread(fd, len(content), 0) != content:
                raise CommandError("config-drive-differs", f"{device} doesn't read as it was written")
        return {"label": LABEL, "files": sorted(files)}

    return run


def _image(device: str, files: dict[str, bytes]) -> bytes:
    with block.opened(device, os.O_RDONLY) as fd:
        size = block.size_bytes(fd)
    try:
        return fat.image(size, LABEL, zlib.crc32(device.encode()), files, block.sector_bytes(device))
    except fat.DoesNotFit as error:
        raise CommandError("config-drive-too-small", f"{device}: {error}") from error


def _decoded(params: Params) -> dict[str, bytes]:
    files = params.mapping("files")
    if not files or len(files) > MAX_FILES:
        raise invalid("files", f"must have 1 to {MAX_FILES} entries")
    decoded = {}
    for name, text in sorted(files.items()):
        if not FILE_NAME.fullmatch(name):
            raise invalid("files", f"has a bad file name: {name[:80]!r}")
        try:
            decoded[name] = base64.b64decode(text, validate=True)
        except (TypeError, ValueError) as error:
            raise invalid("files", f"{name} is not base64") from error
    return decoded

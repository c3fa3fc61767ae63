"""A board's root by NFS, in user space, by libnfs's programs: a model has no kernel to mount it with."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

DEADLINE_S = 10.0
VERSION = 4

_ANSWERED = re.compile(r"NOENT|ACCES|PERM|NOTDIR|ISDIR|No such file|ermission denied|Not a directory")
"""In libnfs's words: the server has spoken, and there is nothing for us."""


class NfsRefused(Exception):
    """The server has answered, and doesn't give the file."""


class NfsSilent(Exception):
    """No server, or none that answers now."""


class NfsRoot:
    """root: SERVER:PATH, as DHCP names it; options behind it are for kernels (devices/nfs_root)."""

    def __init__(self, root: str) -> None:
        server, _, path = root.partition(",")[0].partition(":")
        self._url = f"nfs://{server}{path.rstrip('/')}"

    async def read(self, file: str) -> bytes:
        """A whole file; links are followed by the client. Raises NfsRefused, NfsSilent."""
        return await _run("nfs-cat", self._at(file))

    async def write(self, file: str, source: Path) -> None:
        """Makes or overwrites it. Raises as `read`."""
        await _run("nfs-cp", str(source), self._at(file))

    def _at(self, file: str) -> str:
        return f"{self._url}{file}?version={VERSION}"


async def _run(*words: str) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, said = await process.communicate()
    except TimeoutError as error:
        raise NfsSilent(f"no answer in {DEADLINE_S:g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == 0:
        return out
    told = " ".join(said.decode(errors="replace").split())
    raise (NfsRefused if _ANSWERED.search(told) else NfsSilent)(told)

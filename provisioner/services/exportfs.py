"""Root file systems by NFS, from this system's kernel: what a production host has."""

from __future__ import annotations

import asyncio
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import structlog

from provisioner.core.errors import PermanentError, ProvisionerError, TransientError
from provisioner.protocols.children import Children, ChildTimedOut
from provisioner.protocols.clock import Clock
from provisioner.protocols.netboot import Offer
from provisioner.protocols.roots import Made

log = structlog.get_logger(__name__)

TIMEOUT_S = 30.0
LOOK_EVERY_S = 10.0
"""For so long a machine may be refused its root after the NFS server forgot it; a look takes 2 ms."""

VERSIONS = Path("/proc/fs/nfsd/versions")
OPTIONS = "rw,no_root_squash,no_subtree_check,sync,sec=sys"

SERVER = "this host's NFS server"
"""As errors call it."""

_ESCAPED = re.compile(rb"\\([0-7]{3})")


def nfs_path(folder: Path) -> str:
    """What nodes call the export of a folder: its own name, as this system has it."""
    return str(folder)


class _Export(NamedTuple):
    address: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.address}:{self.folder}"


class _Noted(Enum):
    """Why the kernel's table has an export, or may have it."""

    MADE = auto()
    FOUND = auto()  # an earlier process made it
    IN_DOUBT = auto()  # it wasn't done to the end, or its withdrawal wasn't


_IN_FORCE = frozenset({_Noted.MADE, _Noted.FOUND})


class ExportfsService:
    """`protocols.netboot.RootService` by the kernel's NFS server, which its own service keeps running.

    The kernel's table of exports outlives this process, as do the nodes that live on them: nothing is
    withdrawn at the end, and what is offered again after a start is in force already. It loses ours when that
    service is restarted or reloaded, as `exportfs -r` keeps what /etc/exports says: they are made again.
    """

    def __init__(self, children: Children, nodes: Path, clock: Clock, *, versions: Path = VERSIONS) -> None:
        """nodes: the folder that all folders of ours lie in; no symbolic link leads there, for the kernel's
        table has none. versions: tells that the kernel serves NFS.
        """
        self._children = children
        self._nodes = nodes
        self._clock = clock
        self._versions = versions
        self._exports: dict[str, dict[_Export, _Noted]] = {}  # of each node
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ExportfsService:
        """Notes what an earlier process left. Raises PermanentError where the kernel serves no NFS."""
        if not self._versions.exists():
            raise PermanentError(
                "serve NFS by the kernel",
                answer="no NFS server runs",
                advice="Install and start nfs-kernel-server, or set nfs.server to ganesha",
            )
        for export in await self._table():
            made = Made.told_by(export.folder.name)
            if export.folder.parent == self._nodes and made is not None:
                self._exports.setdefault(made.node_id, {})[export] = _Noted.FOUND
        self._keeper = asyncio.create_task(self._keep(), name="exportfs")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def offer(self, offer: Offer) -> None:
        folder = offer.nfs_root
        wanted = [_Export(address, folder) for address in offer.addresses] if folder is not None else []
        async with self._turns[offer.node_id]:
            await self._withdraw_all_but(wanted, offer.node_id)
            for export in wanted:
                noted = self._exports.setdefault(offer.node_id, {})
                if noted.get(export) is not _Noted.MADE:
                    noted[export] = _Noted.IN_DOUBT  # when it isn't done in time
                    await self._export(export)
                    noted[export] = _Noted.MADE

    async def withdraw(self, node_id: str) -> None:
        async with self._turns[node_id]:
            await self._withdraw_all_but((), node_id)

    def roots(self) -> Mapping[str, str]:
        exported = ((node_id, next(iter(noted), None)) for node_id, noted in self._exports.items())
        return {node_id: export.folder.name for node_id, export in exported if export is not None}

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                await self._make_again()
            except (ProvisionerError, OSError) as error:
                log.error("nfs.exports_not_made_again", cause=str(error))

    async def _make_again(self) -> None:
        """What the table has lost. All of them, whatever becomes of some; raises then what the last of these
        raised."""
        # As it was before the table was read: what is exported meanwhile isn't in it.
        before = {
            export for noted in self._exports.values() for export, how in noted.items() if how in _IN_FORCE
        }
        lost, again = before.difference(await self._table()), 0
        failed: Exception | None = None
        for node_id in list(self._exports):
            async with self._turns[node_id]:
                noted = self._exports.get(node_id, {})
                for export in [one for one in noted if one in lost and noted[one] in _IN_FORCE]:
                    try:
                        await self._export(export)
                        again += 1
                    except (ProvisionerError, OSError) as error:
                        failed = error
        if again:
            log.warning("nfs.exports_made_again", exports=again, cause="the NFS server had lost them")
        if failed is not None:
            raise failed

    async def _export(self, export: _Export) -> None:
        # A number for the file system: it needs no UUID then, and a survivor gives the same.
        number = zlib.crc32(export.folder.name.encode())
        # -i: else all that /etc/exports says is exported too, and a mistake there fails ours.
        await self._exportfs(f"export {export}", "-i", "-o", f"{OPTIONS},fsid={number}", str(export))

    async def _table(self) -> list[_Export]:
        table = bytearray()  # kept whole: an export that isn't noted would never be withdrawn
        await self._exportfs("read the kernel's table of exports", "-s", on_stdout=table.extend)
        return _told(os.fsdecode(bytes(table)))

    async def _withdraw_all_but(self, wanted: Collection[_Export], node_id: str) -> None:
        noted = self._exports.get(node_id, {})
        for export in [export for export in noted if export not in wanted]:
            noted[export] = _Noted.IN_DOUBT
            await self._exportfs(f"withdraw the export {export}", "-u", str(export))
            del noted[export]
        if not noted:
            self._exports.pop(node_id, None)

    async def _exportfs(
        self, tried: str, *arguments: str, on_stdout: Callable[[bytes], None] | None = None
    ) -> None:
        try:
            result = await self._children.run(
                ["exportfs", *arguments], timeout_s=TIMEOUT_S, on_stdout=on_stdout
            )
        except ChildTimedOut as error:
            raise TransientError(
                tried,
                device=SERVER,
                answer=f"exportfs was not done after {TIMEOUT_S:.0f} s",
                advice="Look whether nfs-server and its mountd run, and what they say",
            ) from error
        result.check_not_killed(tried, device=SERVER)
        # One that is gone already, with its system's restart for instance, needn't be withdrawn.
        if result.code and not (arguments[0] == "-u" and "Could not find" in result.stderr):
            raise PermanentError(
                tried,
                device=SERVER,
                answer=result.last_words(),
                advice="Look whether nfs-server runs, and whether that folder can be exported: exports(5)",
            )


def _told(table: str) -> list[_Export]:
    """From lines of `PATH  CLIENT(OPTIONS)`; blanks in a path are octal (nfs-utils, exportfs -s)."""
    found = []
    for words in map(str.split, table.splitlines()):
        if len(words) == 2 and words[0].startswith("/"):
            path = _ESCAPED.sub(lambda octal: bytes([int(octal[1], 8) & 0xFF]), os.fsencode(words[0]))
            found.append(_Export(words[1].partition("(")[0], Path(os.fsdecode(path))))
    return found

"""Root file systems by NFS, from this system's kernel: what a production host has."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from provisioner.core.errors import PermanentError, TransientError
from provisioner.protocols.children import Children, ChildTimedOut
from provisioner.protocols.netboot import Offer

TIMEOUT_S = 30.0
VERSIONS = Path("/proc/fs/nfsd/versions")
OPTIONS = "rw,no_root_squash,no_subtree_check,sync,sec=sys"


def nfs_path(folder: Path) -> str:
    """What nodes call the export of a folder: its own name, as this system has it."""
    return str(folder)


class ExportfsService:
    """`protocols.netboot.RootService` by the kernel's NFS server, which its own service keeps running.

    The kernel's table of exports outlives this process, as do the nodes that live on them: nothing is
    withdrawn at the end, and what is offered again after a start is in force already.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self._exports: dict[str, tuple[Path, tuple[str, ...]]] = {}

    async def __aenter__(self) -> ExportfsService:
        """Raises PermanentError where the kernel serves no NFS."""
        if not VERSIONS.exists():  # noqa: ASYNC240 - of the kernel, not of a disk
            raise PermanentError(
                "serve NFS by the kernel",
                answer="no NFS server runs",
                advice="Install and start nfs-kernel-server, or set nfs.server to ganesha",
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def offer(self, offer: Offer) -> None:
        wanted = None if offer.nfs_root is None else (offer.nfs_root, offer.addresses)
        if self._exports.get(offer.node_id) == wanted:
            return
        await self.withdraw(offer.node_id)
        if wanted is not None:
            folder, addresses = wanted
            self._exports[offer.node_id] = wanted
            for address in addresses:
                # A number for the file system: none that has a UUID is needed, and a survivor gives the same.
                number = zlib.crc32(folder.name.encode())
                await self._exportfs("-o", f"{OPTIONS},fsid={number}", f"{address}:{folder}")

    async def withdraw(self, node_id: str) -> None:
        if (known := self._exports.pop(node_id, None)) is not None:
            folder, addresses = known
            for address in addresses:
                await self._exportfs("-u", f"{address}:{folder}")

    def roots(self) -> Mapping[str, str]:
        return {node_id: folder.name for node_id, (folder, _) in self._exports.items()}

    async def _exportfs(self, *arguments: str) -> None:
        try:
            result = await self._children.run(["exportfs", *arguments], timeout_s=TIMEOUT_S)
        except ChildTimedOut as error:
            raise TransientError(
                f"export {arguments[-1]}", answer=f"exportfs was not done after {TIMEOUT_S:.0f} s"
            ) from error
        # One that is gone already, with its system's restart for instance, needn't be withdrawn.
        if result.code and not (arguments[0] == "-u" and "Could not find" in result.stderr):
            raise PermanentError(f"export {arguments[-1]}", answer=result.last_words())

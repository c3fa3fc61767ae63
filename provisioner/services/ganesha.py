"""Root file systems by NFS, from an nfs-ganesha of our own: in user space, so that it runs in a namespace."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType

import structlog

from provisioner.core.errors import PermanentError
from provisioner.protocols.children import Children
from provisioner.protocols.clock import Clock
from provisioner.protocols.netboot import Offer
from provisioner.services.daemon import Daemon, replace_file
from provisioner.services.export_numbers import ExportNumbers
from provisioner.services.ganesha_config import Export, exports_part, static_part

log = structlog.get_logger(__name__)

_PATHS = re.compile(r"/[^\s(),]+")
_READS = (" Starting: Ganesha", " initiating export list reload")
_SERVES = ("NFS SERVER INITIALIZED", "Reread exports complete")


def nfs_path(folder: Path) -> str:
    """What nodes call the export of a folder: nothing above it can be seen."""
    return f"/{folder.name}"


class GaneshaService:
    """`protocols.netboot.RootService`: each node its own root, to its own addresses alone."""

    def __init__(self, address: IPv4Address, folder: Path, children: Children, clock: Clock) -> None:
        """address: where it listens. folder: where its files lie; they hold no secret."""
        self._folder = folder
        self._exports: dict[str, Export] = {}
        self._refused: dict[Path, str] = {}  # folder → what it complained of it when it last read its files
        self._numbers = ExportNumbers(
            folder / "export-numbers.json", lambda: [export.folder for export in self._exports.values()]
        )
        config, log = folder / "ganesha.conf", ("-L", "STDERR")
        self._daemon = Daemon(
            ("ganesha.nfsd", "-F", "-N", "NIV_EVENT", *log, "-f", str(config), "-p", str(folder / "pid")),
            children,
            clock,
            write=lambda: replace_file(
                config, static_part(address, folder) + exports_part(self._exports.values())
            ),
            renewal=signal.SIGHUP,
            has_read=lambda line: line.endswith(_SERVES),
            heard=self._hear,
            advice=f"Does another NFS server listen at {address}? Then set nfs.server to kernel",
        )

    async def __aenter__(self) -> GaneshaService:
        (self._folder / "recovery").mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._daemon.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._daemon.stop()

    async def offer(self, offer: Offer) -> None:
        if offer.nfs_root is None:
            await self.withdraw(offer.node_id)
            return
        known = self._exports.get(offer.node_id)
        if known is not None and (known.folder, known.addresses) == (offer.nfs_root, offer.addresses):
            if not self._daemon.behind and offer.nfs_root not in self._refused:
                return
        else:
            self._exports[offer.node_id] = Export(
                number=await self._numbers.of(offer.nfs_root),
                folder=offer.nfs_root,
                nfs_path=nfs_path(offer.nfs_root),
                addresses=offer.addresses,
            )
        await self._daemon.renew()
        if refused := self._refused.get(offer.nfs_root):
            raise PermanentError(
                "export a root directory",
                device=f"folder {offer.nfs_root}",
                answer=refused,
                advice="Is it there, and on a file system that has file handles, as ext4, xfs and btrfs do?",
            )

    async def withdraw(self, node_id: str) -> None:
        if self._exports.pop(node_id, None) is not None or self._daemon.behind:
            await self._daemon.renew()

    def roots(self) -> Mapping[str, str]:
        return {node_id: export.folder.name for node_id, export in self._exports.items()}

    def _hear(self, line: str) -> str:
        """It says that it has read its files whatever it refused of them. Lines are
        "time : epoch : host : program-pid[thread] function :component :level :words"."""
        if any(words in line for words in _READS):
            self._refused.clear()
        if ":CRIT :" not in line and ":FATAL :" not in line:
            return ""
        complaint = line.rpartition(" :")[2][:200]
        if "[main]" in line or "[sigmgr]" in line:  # who read its files: at its start, and after that
            exported = {str(export.folder) for export in self._exports.values()}
            for folder in map(Path, exported.intersection(_PATHS.findall(line))):
                if folder not in self._refused:
                    log.error("nfs.export_refused", folder=str(folder), cause=complaint)
                    self._refused[folder] = complaint
        return complaint

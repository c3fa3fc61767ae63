"""What nodes find when they boot: each firmware's dialect makes the offer, the same services give it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.model import PublicationKind
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, NetbootService, Offer, RootService

log = structlog.get_logger(__name__)

Dialect = Callable[[BootEntry], Offer]
"""What the services give, for what is published. Raises InvalidInput for what the firmware can't be told."""


def offer_of(
    entry: BootEntry,
    *,
    boot_files: Mapping[Loader, str],
    files: Mapping[str, Path | str] | None = None,
    tftp_files: Mapping[str, Path | bytes] | None = None,
    tftp_ahead: frozenset[str] = frozenset(),
) -> Offer:
    """What no dialect decides, with what each does."""
    return Offer(
        node_id=entry.node_id,
        node_name=entry.node_name,
        macs=entry.macs,
        addresses=entry.addresses,
        token=entry.token,
        bearer=entry.token if entry.kind is PublicationKind.AGENT else "",
        boot_files=boot_files,
        files=files or {},
        tftp_files=tftp_files or {},
        tftp_ahead=tftp_ahead,
        nfs_root=entry.nfs_root,
    )


class OfferPublisher:
    """`protocols.boot.BootPublisher` by the boot driver that each node was enrolled with.

    Services are offered to in the order given, that of roots before them: DHCP comes last, so that what it
    names is there. They are withdrawn from in the order given too: those in memory end at once, and a caller
    whose time is up before daemons have read their files has ended as much as it could.
    """

    def __init__(
        self,
        services: Sequence[NetbootService],
        dialects: Mapping[str, Dialect],
        prepared: Callable[[BootEntry], Awaitable[BootEntry]] | None = None,
        nfs: RootService | None = None,
    ) -> None:
        """dialects: by the name of the boot driver
        prepared: an entry with what has to be made for its firmware first; None: nothing ever
        nfs: who serves roots; None: nobody does"""
        self._services = services
        self._dialects = dialects
        self._prepared = prepared
        self._nfs = nfs

    async def publish(self, entry: BootEntry) -> None:
        if self._prepared is not None:
            entry = await self._prepared(entry)
        offer = self._dialects[entry.boot_driver](entry)
        if self._nfs is not None:
            await self._nfs.offer(offer)
        for service in self._services:
            await service.offer(offer)

    async def withdraw(self, node_id: str, *, root: bool = True) -> None:
        """Of all services, whatever becomes of some; raises then what the first of these raised.

        With its root, the node is another's next: DHCP goes silent first, so that a node which boots in
        between asks again, and isn't sent to files that are gone. Without, there may be no time for DHCP.
        """
        services: list[NetbootService | RootService] = list(self._services)
        if root:
            services.reverse()
            services += [self._nfs] if self._nfs is not None else []
        first: ProvisionerError | OSError | None = None
        for service in services:
            try:
                await service.withdraw(node_id)
            except (ProvisionerError, OSError) as error:
                if first is not None:
                    log.error("node.not_withdrawn", node=node_id, cause=str(error))
                first = first or error
        if first is not None:
            raise first

    def roots(self) -> Mapping[str, str]:
        return self._nfs.roots() if self._nfs is not None else {}

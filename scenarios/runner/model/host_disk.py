"""The disk of a compute host: its services keep their files there, and a lone host its database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from provisioner.core.errors import StorageFull
from provisioner.protocols.store import Tx


class HostDisk:
    """struck: told of each write that found no room."""

    def __init__(self, struck: Callable[[], None]) -> None:
        self.full = False
        self._struck = struck

    def write(self, tried: str) -> None:
        """Raises StorageFull, as the provisioner's services and SQLite do."""
        if self.full:
            self._struck()
            raise StorageFull(tried, answer="No space left on device, 0 bytes are free", advice="Make room")

    def of_database(self, tx: Tx) -> Tx:
        """A transaction of a database that lies here: it can be read, full or not."""
        return cast(Tx, _TxOnDisk(tx, self)) if self.full else tx


class _TxOnDisk:
    def __init__(self, tx: Tx, disk: HostDisk) -> None:
        self._tx = tx
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def _refused(self, *arguments: object, **options: object) -> None:
        self._disk.write("write to the database")

    insert = update = delete = _refused

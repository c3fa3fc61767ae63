from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from provisioner.core.metadata import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an instance may know of itself, by the store's clock `at`. tree: all below a version; it holds
    user data, which may hold secrets. awaited: it is being made, and somebody waits for a sign of it."""

    instance_id: str
    awaited: bool = False
    tree: Folder = field(repr=False)
    at: datetime


class MetadataSource(Protocol):
    """Whom an address belongs to, by what the store says now: any host can answer for any node."""

    async def of(self, address: str) -> Told | None:
        """None: no node has the address, or no instance runs there or is about to. Raises TransientError
        when the store can't be asked."""
        ...


class Seals(Protocol):
    """What one host has sealed, every host of the place can open, and nobody else can make."""

    def seal(self, text: str) -> str: ...

    def open(self, sealed: str) -> str:
        """Raises PermanentError when it wasn't sealed by one of ours."""
        ...

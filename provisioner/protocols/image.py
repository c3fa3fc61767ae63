from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskTarget:
    """A disk exported by an agent, for one attempt."""

    address: str
    port: int
    iqn: str
    lun: int
    chap_user: str
    chap_password: str = field(repr=False)


class ImageWriter(Protocol):
    async def write(
        self,
        source: Path,
        *,
        format: str,
        target: DiskTarget,
        offset_bytes: int,
        size_bytes: int,
        progress: Callable[[float], None],
    ) -> None:
        """Writes the image's raw content (`size_bytes`) to the target at `offset_bytes`, and flushes.
        `progress` gets 0.0…1.0. Idempotent. When cancelled, or when this process dies, nothing
        of it goes on. Raises TransientError (connection lost, refused by a newer export),
        PermanentError (the target is too small, the source unreadable)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    sha256: str
    size_bytes: int
    virtual_size_bytes: int
    tree_digest: str

from __future__ import annotations

from typing import Protocol


class Ids(Protocol):
    """Where names and secrets come from: random in production, seeded in a simulation."""

    def uuid(self) -> str:
        """A new UUID, as text."""
        ...

    def secret(self) -> str:
        """A new secret of at least 128 bits: hexadecimal digits, safe in URLs and command lines."""
        ...

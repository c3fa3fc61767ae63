from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from provisioner.core.model import Node


class ConsoleBook(Protocol):
    """The recorded serial consoles of a host's nodes."""

    def recording(self, node: Node) -> AbstractAsyncContextManager[None]:
        """Records this node's console while entered, as what its instance's machine says; several may hold
        it at once."""
        ...

    def position(self, node_id: str) -> int:
        """Bytes recorded so far."""
        ...

    def text(self, node_id: str, *, of: str | None = None, since: int = 0, tail_bytes: int = 65536) -> str:
        """What was recorded after `since`, at most the last `tail_bytes`.

        of: an instance. Only what was recorded since the node is its own; nothing, if it is another's by now
        or this host hasn't recorded it. None: whosesoever it is, for operators.
        """
        ...

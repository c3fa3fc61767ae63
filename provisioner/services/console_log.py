"""Records nodes' serial consoles to files, while somebody wants them recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.model import Node
from provisioner.protocols.power import Console

log = structlog.get_logger(__name__)

MAX_FILE_BYTES = 16 * 2**20
"""Per node; past it the older half is dropped, so that a machine in a boot loop can't fill the disk."""

RECONNECT_S = 5.0


@dataclass(slots=True)
class _Recording:
    task: asyncio.Task[None]
    holders: int = 1


class ConsoleLog:
    """`protocols.console.ConsoleBook` on files below `root`.

    console_of: the console of a node, None when its power device offers none.
    """

    def __init__(self, root: Path, console_of: Callable[[Node], Awaitable[Console | None]]) -> None:
        self._root = root
        self._console_of = console_of
        self._recordings: dict[str, _Recording] = {}
        self._dropped: dict[str, int] = {}

    @asynccontextmanager
    async def recording(self, node: Node) -> AsyncIterator[None]:
        node_id = node.id
        held = self._recordings.get(node_id)
        if held is None:
            held = _Recording(asyncio.create_task(self._record(node), name=f"console:{node_id}"))
            self._recordings[node_id] = held
        else:
            held.holders += 1
        try:
            yield
        finally:
            held.holders -= 1
            if held.holders == 0:
                self._recordings.pop(node_id, None)
                held.task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((held.task,))

    def position(self, node_id: str) -> int:
        path = self._path(node_id)
        size = path.stat().st_size if path.exists() else 0
        return self._dropped.get(node_id, 0) + size

    def text(self, node_id: str, *, since: int = 0, tail_bytes: int = 65536) -> str:
        path = self._path(node_id)
        if not path.exists():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(since - self._dropped.get(node_id, 0), size - tail_bytes, 0))
            return file.read().decode("utf-8", "replace")

    def _path(self, node_id: str) -> Path:
        return self._root / f"{node_id}.log"

    async def _record(self, node: Node) -> None:
        node_id = node.id
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            try:
                console = await self._console_of(node)
                if console is None:
                    return
                await console.capture(lambda data: self._append(node_id, data))
            except ProvisionerError as error:
                # A deploy needs no console: it is evidence, not a condition.
                log.info("console.unavailable", node=node_id, cause=error.message)
            except OSError as error:  # no room for it; who looks at consoles waits for the next try
                log.warning("console.not_kept", node=node_id, cause=error.strerror or str(error))
            await asyncio.sleep(RECONNECT_S)

    def _append(self, node_id: str, data: bytes) -> None:
        path = self._path(node_id)
        with path.open("ab") as file:
            file.write(data)
            size = file.tell()
        if size > MAX_FILE_BYTES:
            kept = path.read_bytes()[-MAX_FILE_BYTES // 2 :]
            self._dropped[node_id] = self._dropped.get(node_id, 0) + size - len(kept)
            path.write_bytes(kept)

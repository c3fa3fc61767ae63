"""Records nodes' serial consoles to files, while somebody wants them recorded."""

from __future__ import annotations

import asyncio
import json
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
    """`protocols.console.ConsoleBook` on files below `root`: per node what it said, and beside that (`.of`)
    since which byte it is whose. What came before that, also of other hosts' times, is operators' alone.

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

    def text(self, node_id: str, *, of: str | None = None, since: int = 0, tail_bytes: int = 65536) -> str:
        path, begins = self._path(node_id), 0
        if of is not None:
            whose, begins = self._part(node_id)
            if whose != of:
                return ""
        if not path.exists():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(since - self._dropped.get(node_id, 0), size - tail_bytes, begins))
            return file.read().decode("utf-8", "replace")

    def _path(self, node_id: str) -> Path:
        return self._root / f"{node_id}.log"

    def _part(self, node_id: str) -> tuple[str | None, int]:
        """Whose what is being recorded is, None: no instance's, and where in the file it begins."""
        try:
            part = json.loads((self._root / f"{node_id}.of").read_text())
            return part["instance"], part["begins"]
        except (FileNotFoundError, ValueError):  # none yet, or lost with the machine's power
            return None, 0

    def _keep_part(self, node_id: str, instance_id: str | None, begins: int) -> None:
        path = self._root / f"{node_id}.of"
        draft = path.with_suffix(".of-draft")
        draft.write_text(json.dumps({"instance": instance_id, "begins": begins}))
        draft.replace(path)

    def _begin_part(self, node_id: str, instance_id: str | None) -> None:
        """Before anything is appended. A restart of this process leaves an instance its part."""
        path = self._path(node_id)
        size = path.stat().st_size if path.exists() else 0
        whose, begins = self._part(node_id)
        if whose != instance_id or begins > size:
            self._keep_part(node_id, instance_id, size)

    async def _record(self, node: Node) -> None:
        node_id = node.id
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            try:
                self._begin_part(node_id, node.instance_id)
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
            dropped = size - len(kept)
            self._dropped[node_id] = self._dropped.get(node_id, 0) + dropped
            path.write_bytes(kept)
            # Last: who dies in between tells an instance too little, never another's.
            whose, begins = self._part(node_id)
            self._keep_part(node_id, whose, max(begins - dropped, 0))

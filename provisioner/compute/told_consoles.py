"""What consoles say, kept in the store too, for the APIs of all processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.model import ConsoleTail, Node
from provisioner.protocols.clock import Clock
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.store import Store, Tx

log = structlog.get_logger(__name__)

TOLD_EVERY_S = 10.0
"""At most: a console that says nothing costs the store nothing."""

LAST_WORD_S = 2.0
"""For what was said since, when a recording ends. Nothing waits longer for it."""

TAIL_BYTES = 65536


class ToldConsoles:
    """`protocols.console.ConsoleBook` of a host's own, the end of which it keeps in the store while it
    records the console of an instance's machine. That of a host which had the node before is continued."""

    def __init__(self, own: ConsoleBook, store: Store, clock: Clock) -> None:
        self._own = own
        self._store = store
        self._clock = clock

    @asynccontextmanager
    async def recording(self, node: Node) -> AsyncIterator[None]:
        tail = _Tail(self._own, self._store, node)
        async with self._own.recording(node):
            telling = asyncio.create_task(self._tell(tail), name=f"told-console:{node.id}")
            try:
                # Not when it is cancelled: it has to be gone then, and somebody goes on with the work.
                try:
                    yield
                except Exception:
                    await _last_word(tail)
                    raise
                await _last_word(tail)
            finally:
                telling.cancel()
                await asyncio.wait((telling,))

    async def _tell(self, tail: _Tail) -> None:
        while not tail.ended:
            await self._clock.sleep(TOLD_EVERY_S)
            try:
                await tail.tell()
            except (ProvisionerError, OSError) as error:
                log.info("console.not_told", node=tail.node.id, cause=str(error))

    def position(self, node_id: str) -> int:
        return self._own.position(node_id)

    def text(self, node_id: str, *, of: str | None = None, since: int = 0, tail_bytes: int = 65536) -> str:
        return self._own.text(node_id, of=of, since=since, tail_bytes=tail_bytes)


class _Tail:
    """What one recording adds to what was told before."""

    def __init__(self, own: ConsoleBook, store: Store, node: Node) -> None:
        self.node = node
        self.ended = False
        self._own = own
        self._store = store
        self._told = own.position(node.id)
        self._turn = asyncio.Lock()
        """What is on its way to the store when a recording ends isn't told again."""

    async def tell(self, *, last: bool = False) -> None:
        """What was said since. Raises what the store raises; it is told next time then."""
        node = self.node
        async with self._turn:
            if self.ended:
                return
            now, new = self._own.position(node.id), ""
            if now > self._told and node.instance_id is not None:
                new = self._own.text(node.id, of=node.instance_id, since=self._told, tail_bytes=TAIL_BYTES)
            if new or (last and now > 0):
                await self._store.transact(lambda tx: _keep(tx, node, new))
            self._told = now
            self.ended = last


async def _last_word(tail: _Tail) -> None:
    try:
        async with asyncio.timeout(LAST_WORD_S):
            await tail.tell(last=True)
    except (ProvisionerError, OSError, TimeoutError) as error:
        log.info("console.end_not_told", node=tail.node.id, cause=str(error))


def _keep(tx: Tx, node: Node, new: str) -> None:
    """Unless the node is another host's by now. Of an instance that left it, nothing is kept."""
    current, tail = tx.get(Node, node.id), tx.get(ConsoleTail, node.id)
    if current is None or current.owner != node.owner:
        return
    if tail is not None and tail.instance_id != current.instance_id:
        tx.delete(ConsoleTail, node.id)
        tail = None
    if not new or node.instance_id is None or current.instance_id != node.instance_id:
        return
    text = _end(f"{tail.text if tail else ''}{new}")
    if tail is not None:
        tx.update(ConsoleTail, node.id, {"text": text})
    else:
        tx.insert(ConsoleTail(id=node.id, instance_id=node.instance_id, text=text, updated_at=tx.now()))


def _end(text: str) -> str:
    """As much as is kept; PostgreSQL holds no NUL."""
    return text.replace("\0", "\ufffd").encode()[-TAIL_BYTES:].decode(errors="ignore")

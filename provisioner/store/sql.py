"""The store on a SQL database: one writer thread that commits in groups.

A commit waits for the disk, so it is the dear part: whatever is asked while one commit runs goes into
the next, all together. Each function still stands alone: when one fails after it wrote, the group is
undone and run again without it.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from provisioner.core.errors import TransientError
from provisioner.protocols.store import Tx
from provisioner.store.dialect import Database
from provisioner.store.sql_tx import SqlTx
from provisioner.store.statements import Statements
from provisioner.store.topics import Topics, TopicWatch

T = TypeVar("T")

MAX_ACCEPTED = 1_024  # transactions; who comes later waits in `transact`
MAX_GROUP = 256  # transactions per commit; bounds how long the first of a group waits for the last


@dataclass(slots=True)
class _Job:
    """A function to run, and what came of it."""

    work: Callable[[Tx], Any]
    context: contextvars.Context
    done: asyncio.Future[None]
    result: Any = None
    error: BaseException | None = None
    topics: list[str] = field(default_factory=list)

    def fail(self, error: BaseException) -> None:
        self.result, self.error, self.topics = None, error, []


class SqlStore:
    """Implements `provisioner.protocols.store.Store`. Serves one event loop."""

    def __init__(self, database: Database) -> None:
        """Takes over the database's engine, and ends it in `close`."""
        self._database = database
        self._statements = Statements(database.engine.dialect)
        self._topics = Topics()
        self._room = asyncio.Semaphore(MAX_ACCEPTED)
        self._accepted: SimpleQueue[_Job | None] = SimpleQueue()  # None: no more will come
        self._writer: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    async def transact(self, work: Callable[[Tx], T]) -> T:
        await self._room.acquire()
        if self._closing:
            self._room.release()
            raise TransientError("use the database", answer="the store is closed", advice="It is ending")
        loop = asyncio.get_running_loop()
        if self._writer is None:
            self._loop, self._writer = loop, self._start_writer(loop)
        elif loop is not self._loop:
            self._room.release()
            raise RuntimeError("a store serves the event loop that used it first, and no other")
        job = _Job(work, contextvars.copy_context(), loop.create_future())
        self._accepted.put(job)
        await job.done
        if job.error is not None:
            try:
                raise job.error
            finally:
                job.error = None  # the traceback holds this frame: don't make a cycle of them
        result: T = job.result
        return result

    def watch(self, *topics: str) -> TopicWatch:
        return self._topics.watch(*topics)

    async def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._accepted.put(None)
        if self._writer is not None:
            await asyncio.to_thread(self._writer.join)
        self._database.engine.dispose()

    def _start_writer(self, loop: asyncio.AbstractEventLoop) -> threading.Thread:
        # A daemon: what it has not committed yet was not promised to anybody.
        writer = threading.Thread(target=self._write, args=(loop,), name="store-writer", daemon=True)
        writer.start()
        return writer

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        """The writer thread: takes what was accepted, stores it, says so."""
        going_on = True
        while going_on:
            group: list[_Job] = []
            job = self._accepted.get()
            with suppress(Empty):
                while job is not None:
                    group.append(job)
                    if len(group) == MAX_GROUP:
                        break
                    job = self._accepted.get_nowait()
            going_on = job is not None
            self._store(group)
            with suppress(RuntimeError):  # the loop was closed: nobody is left to be told
                loop.call_soon_threadsafe(self._deliver, group)

    def _deliver(self, group: list[_Job]) -> None:
        for job in group:
            self._room.release()
            self._topics.notify(job.topics)
            if not job.done.done():  # done already when its caller was cancelled
                job.done.set_result(None)

    def _store(self, jobs: list[_Job]) -> None:
        waiting = [jobs] if jobs else []
        while waiting:
            waiting = self._attempt(waiting[0]) + waiting[1:]

    def _attempt(self, group: list[_Job]) -> list[list[_Job]]:
        """Runs the group in one transaction; says which groups are still to be run, in this order."""
        begun = False
        try:
            with self._database.engine.connect() as connection:
                connection.begin()
                begun = True
                for position, job in enumerate(group):
                    if not self._run(job, connection):  # leaving without a commit undoes it all
                        split = (group[:position], group[position : position + 1], group[position + 1 :])
                        return [part for part in split if part] if len(group) > 1 else []
                connection.commit()
        except Exception as error:  # noqa: BLE001 - whatever ends a transaction is its callers' to hear
            if begun and len(group) > 1:  # alone, those that read only still succeed on a full disk
                return [[job] for job in group]
            for job in group:
                job.fail(self._meaning(error))
        return []

    def _run(self, job: _Job, connection: sa.Connection) -> bool:
        """Whether the transaction may go on: False when the job failed and left something in it."""
        tx = SqlTx(connection, self._database, self._statements)
        try:
            job.result, job.error = job.context.run(job.work, tx), tx.failed
        except BaseException as error:  # noqa: BLE001 - it is the caller's, unchanged
            job.error = error
        if job.error is None:
            job.topics = tx.topics
            return True
        job.fail(job.error)
        return not tx.wrote and tx.failed is None

    def _meaning(self, error: Exception) -> Exception:
        return (self._database.failure(error) if isinstance(error, DBAPIError) else None) or error

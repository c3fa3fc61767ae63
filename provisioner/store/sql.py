"""The store on a SQL database: group commit.

A commit waits for the disk, so it is the dear part: whatever is asked while one commit runs goes into
the next, all together. Each function still stands alone: when one fails after it wrote, the group is
undone and run again without it.

The functions run on the event loop's own thread; only the commit runs on another. A writer thread would
wait for the interpreter's lock after each of the driver's calls, up to 5 ms whenever the loop has work
(measured: 11 transactions a second beside a busy loop, against thousands).
"""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from provisioner.core.errors import TransientError
from provisioner.core.model import Record
from provisioner.protocols.store import Tx
from provisioner.store.dialect import Database
from provisioner.store.sql_tx import SqlTx
from provisioner.store.statements import Statements
from provisioner.store.topics import Topics, TopicWatch

T = TypeVar("T")

LAST_NUMBER = 2**63 - 1

MAX_ACCEPTED = 1_024  # transactions; who comes later waits in `transact`
MAX_GROUP = 256  # transactions per commit; bounds how long the first of a group waits for the last
SLICE_S = 0.002  # of running functions, then the loop gets a turn
PATIENCE_S = 0.002  # with a commit, before the loop's thread makes way for it
MAKE_WAY_S = 0.0001
BUSY_WAIT_S = 5.0  # how long another process may hold the database before we say so
BUSY_POLL_S = 0.01
ELSEWHERE_EVERY_S = 0.4  # looked whether another process has changed something, who then waits for us


@dataclass(slots=True, eq=False)
class _Job:
    """A function to run, and what came of it."""

    work: Callable[[Tx], Any]
    context: contextvars.Context  # the caller's, so that what the function logs is marked as the caller's
    done: asyncio.Future[None]
    result: Any = None
    error: BaseException | None = None
    topics: list[str] = field(default_factory=list)

    def fail(self, error: BaseException) -> None:
        self.result, self.error, self.topics = None, error, []


class SqlStore:
    """Implements `provisioner.protocols.store.Store`. Serves one event loop.

    How a group of transactions is stored (`_attempt`) is for a database that is a file of this machine: no
    call of it waits for long. `provisioner.store.postgres_store` does it for one that is elsewhere.
    """

    def __init__(self, database: Database) -> None:
        """Takes over the database's engine, and ends it in `close`."""
        self._database = database
        self._statements = Statements(database.engine.dialect, arrays=database.is_far)
        self._topics = Topics()
        self._room = asyncio.Semaphore(MAX_ACCEPTED)
        self._accepted: deque[_Job] = deque()
        self._first: deque[_Job] = deque()  # before these; few, so nothing bounds them
        self._committer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-commit")
        self._writer: asyncio.Task[None] | None = None  # while there is something to store
        self._listener: asyncio.Task[None] | None = None  # since somebody watches
        self._closed = False

    async def transact(self, work: Callable[[Tx], T]) -> T:
        await self._room.acquire()
        try:
            self._check_open()
        except BaseException:
            self._room.release()
            raise
        return await self._stored(work, self._accepted)

    async def transact_first(self, work: Callable[[Tx], T]) -> T:
        self._check_open()
        return await self._stored(work, self._first)

    def _check_open(self) -> None:
        if self._closed:
            raise TransientError("use the database", answer="the store is closed", advice="It is ending")

    async def _stored(self, work: Callable[[Tx], T], queue: deque[_Job]) -> T:
        job = _Job(work, contextvars.copy_context(), asyncio.get_running_loop().create_future())
        queue.append(job)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="store-writer")
        await job.done
        if job.error is not None:
            try:
                raise job.error
            finally:
                job.error = None  # its traceback holds this frame: don't make a cycle of them
        result: T = job.result
        return result

    async def settled(self, kind: type[Record]) -> int:
        return LAST_NUMBER  # one transaction after the other: numbers come in the order of commits

    def watch(self, *topics: str) -> TopicWatch:
        if self._listener is None and not self._closed:
            self._listener = asyncio.create_task(self._listen(), name="store-listener")
        return self._topics.watch(*topics)

    async def close(self) -> None:
        self._closed = True
        if self._writer is not None:
            await asyncio.wait([self._writer])
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        self._committer.shutdown()
        await self._disconnect()

    async def _disconnect(self) -> None:
        self._database.engine.dispose()

    async def _listen(self) -> None:
        """Wakes who watches when another process has changed something; the file doesn't tell what."""
        while True:
            await asyncio.sleep(ELSEWHERE_EVERY_S)
            if self._writer is None:  # or it looks itself, on the connection that the pool has given it
                with (
                    suppress(DBAPIError, sqlite3.Error),
                    closing(self._database.engine.raw_connection()) as own,
                ):
                    self._look_elsewhere(own)

    def _look_elsewhere(self, connection: sa.PoolProxiedConnection) -> None:
        if self._listener is not None and self._database.changed_elsewhere(connection):
            self._topics.notify_all()

    async def _write(self) -> None:
        """Stores what was accepted until nothing is left."""
        try:
            while self._first or self._accepted:
                await self._store_first()
                group = list(islice(self._accepted, MAX_GROUP))
                waiting = [group] if group else []
                while waiting:
                    waiting = await self._attempt(waiting[0]) + waiting[1:]
                    await self._store_first()
                for _ in group:
                    self._room.release()
                    self._deliver(self._accepted.popleft())
        finally:
            self._writer = None
            # Only when this task was cancelled, so the loop is ending.
            for job in (*self._first, *self._accepted):
                job.fail(TransientError("use the database", answer="the program is ending"))
                self._deliver(job)
            for _ in self._accepted:
                self._room.release()
            self._first.clear()
            self._accepted.clear()

    async def _store_first(self) -> None:
        while self._first:
            # Whoever gave up asks again, and isn't to meet that in one transaction.
            for given_up in [job for job in self._first if job.done.done()]:
                self._first.remove(given_up)
            group = list(self._first)
            if not group:
                return
            waiting = [group]
            while waiting:
                waiting = await self._attempt(waiting[0]) + waiting[1:]
            for _ in group:
                self._deliver(self._first.popleft())

    def _deliver(self, job: _Job) -> None:
        self._topics.notify(job.topics)
        if not job.done.done():  # done already when its caller was cancelled
            job.done.set_result(None)

    async def _attempt(self, group: list[_Job]) -> list[list[_Job]]:
        """Runs the group in one transaction; says which groups are still to be run, in this order."""
        begun = False
        try:
            with self._database.engine.connect() as connection:
                await self._begin(connection)
                begun = True
                self._look_elsewhere(connection.connection)
                failed, wrote = await self._run_all(group, connection)
                if failed is not None:  # leaving without a commit undoes it all
                    parts = (group[:failed], group[failed : failed + 1], group[failed + 1 :])
                    return [part for part in parts if part] if len(group) > 1 else []
                if wrote:
                    await self._commit(connection)
        except Exception as error:  # noqa: BLE001 - whatever ends a transaction is its callers' to hear
            if begun and len(group) > 1:  # alone, those that only read still succeed on a full disk
                return [[job] for job in group]
            for job in group:
                job.fail(self._database.failure(error) or error)
        return []

    async def _begin(self, connection: sa.Connection) -> None:
        until = time.monotonic() + BUSY_WAIT_S
        while True:
            try:
                connection.begin()
            except DBAPIError as error:
                if not self._database.busy(error) or time.monotonic() > until:
                    raise
                await asyncio.sleep(BUSY_POLL_S)
            else:
                return

    async def _commit(self, connection: sa.Connection) -> None:
        """On a thread, since the disk may stall."""
        committed = asyncio.get_running_loop().run_in_executor(self._committer, connection.commit)
        while not (await asyncio.wait([committed], timeout=PATIENCE_S))[0]:
            # A loop that is never idle lets go of the interpreter's lock for moments too short for
            # the thread to wake up in, and starves it for seconds. Blocks on purpose.
            time.sleep(MAKE_WAY_S)  # noqa: ASYNC251
        committed.result()

    async def _run_all(self, group: list[_Job], connection: sa.Connection) -> tuple[int | None, bool]:
        """Runs the functions in turn. The position of one that failed and left something behind, if one
        did; and whether anything was written."""
        wrote = False
        until = time.monotonic() + SLICE_S
        for position, job in enumerate(group):
            tx = SqlTx(connection, self._database, self._statements)
            self._run(job, tx)
            if tx.failed is not None or (job.error is not None and tx.wrote):
                return position, wrote
            wrote = wrote or tx.wrote
            if time.monotonic() > until:
                await asyncio.sleep(0)
                until = time.monotonic() + SLICE_S
        return None, wrote

    def _run(self, job: _Job, tx: SqlTx) -> None:
        try:
            job.result, job.error, job.topics = job.context.run(job.work, tx), None, tx.topics
        except BaseException as error:  # noqa: BLE001 - it is the caller's, unchanged
            job.fail(error)
        if tx.failed is not None and job.error is None:
            job.fail(tx.failed)

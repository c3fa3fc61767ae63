"""The store on PostgreSQL: group commit over one connection, and the truth about what was stored.

One connection per process: its transactions don't conflict with one another then, and what is asked while
one group is on its way goes into the next, so that a commit's wait for the disk is shared as with SQLite.

The callers' functions run on the event loop's thread, in a greenlet that lets others go on while the
database thinks: however slow it is, a lease's end is noticed in time.
"""

from __future__ import annotations

import asyncio
import random
import time

import psycopg
import structlog

from provisioner.core.errors import TransientError
from provisioner.core.model import Record
from provisioner.protocols.store import Tx
from provisioner.store.postgres import SERVER, Again, Away, Mark, Postgres
from provisioner.store.postgres_line import Line, cut_when_silent
from provisioner.store.postgres_wakeups import Wakeups
from provisioner.store.schema import shape_of
from provisioner.store.sql import SqlStore, _Job
from provisioner.store.sql_tx import SqlTx

log = structlog.get_logger(__name__)

ANSWER_S = 10.0  # for a whole group; then the connection is cut, and who waited hears of it
AGAIN_FOR_S = 10.0  # how long transactions that meet others are run again
ALONE_AFTER = 3  # meetings; from then on what meets others is run by itself, and before them
AWAY_PATIENCE_S = 3.0  # since it was lost; a restart of the database that is shorter is only a delay
OUTCOME_WAIT_S = 10.0  # for learning whether a commit whose answer was lost took place
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
SETTLE_S = (
    3.0  # for transactions of others: longer than a frozen one lives (idle_in_transaction_session_timeout)
)
FIRST_LOOK_S = 0.002
GROUP_S = 0.25  # of running functions, then what they did is stored, and who has to be first is


class _Unknown(TransientError):
    """Nobody can tell whether it was stored."""


class PostgresStore(SqlStore):
    """Implements `provisioner.protocols.store.Store`."""

    def __init__(self, database: Postgres) -> None:
        super().__init__(database)
        self._postgres = database
        self._wakeups = Wakeups(database, self._topics)
        self._line: Line | None = None
        self._lost_at: float | None = None
        self._pause_s = FIRST_PAUSE_S

    async def settled(self, kind: type[Record]) -> int:
        table = shape_of(kind).table.name
        given, open_from = await self._ask_numbers(table)
        until, pause_s = time.monotonic() + SETTLE_S, FIRST_LOOK_S
        while open_from < given and time.monotonic() < until:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 10 * FIRST_LOOK_S)
            _, open_from = await self._ask_numbers(table)
        return min(given, open_from)

    async def _ask_numbers(self, table: str) -> tuple[int, int]:
        def ask(tx: Tx) -> tuple[int, int]:
            assert isinstance(tx, SqlTx)
            return tx.ask(lambda connection: self._postgres.numbers(connection, table))

        return await self.transact(ask)

    async def _listen(self) -> None:
        await self._wakeups.run()

    async def _disconnect(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _attempt(self, group: list[_Job]) -> list[list[_Job]]:
        began, meetings = time.monotonic(), 0
        while True:
            try:
                rest = await self._play(group, first=meetings >= ALONE_AFTER)
            except Again as error:
                meetings += 1
                if time.monotonic() - began > AGAIN_FOR_S:
                    _fail(group, error)
                    return []
                if meetings == ALONE_AFTER and len(group) > 1:
                    return [[job] for job in group]  # the renewal of a lease may be among them
                await asyncio.sleep(random.uniform(0, min(0.1, 0.001 * 2**meetings)))
            except Away as error:
                if not await self._patient(error):
                    _fail(group, error)
                    return []
            except Exception as error:  # noqa: BLE001 - whatever ends a transaction is its callers' to hear
                if len(group) > 1 and not isinstance(error, _Unknown):
                    return [[job] for job in group]
                _fail(group, error)
                return []
            else:
                self._lost_at, self._pause_s = None, FIRST_PAUSE_S
                return rest

    async def _patient(self, error: Away) -> bool:
        """Whether to try again, after a pause."""
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            log.warning("store.away", cause=error.message)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return now - self._lost_at < AWAY_PATIENCE_S

    async def _play(self, group: list[_Job], *, first: bool) -> list[list[_Job]]:
        """One transaction. Says what of the group is still to be run. Raises Again, Away, _Unknown, or what
        else the database answered: nothing was stored then.

        first: others wait with what would have it run again. A takeover of thousands of nodes reads what
        others write all the time, and would meet one of them however often it was run.
        """
        try:
            if self._line is None:
                self._line = await self._postgres.line()
            with cut_when_silent(self._line.driver, ANSWER_S):
                return await self._transaction(self._line, group, first)
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise self._postgres.failure(error) or error from error

    async def _transaction(self, line: Line, group: list[_Job], first: bool) -> list[list[_Job]]:
        try:
            if first:
                await line.play(self._postgres.go_first)
            played, failed, doom, mark = await line.play(self._run_group, group)
            if isinstance(doom, Again | Away):
                raise doom
            if failed is not None:
                await line.roll_back()
                parts = (group[:failed], group[failed : failed + 1], group[failed + 1 :])
                return [part for part in parts if part] if len(group) > 1 else []
        except BaseException:
            await self._disconnect()
            raise
        try:
            # Also when nothing was written: what was read is sure only when the commit says so.
            await line.commit()
        except Exception as error:
            await self._disconnect()
            meaning = self._postgres.failure(error) or error
            if mark is None or not isinstance(meaning, Away) or not await self._took_place(mark, meaning):
                raise meaning from error
        return [group[played:]] if played < len(group) else []

    def _run_group(
        self, line: Line, group: list[_Job]
    ) -> tuple[int, int | None, BaseException | None, Mark | None]:
        """How many were run in GROUP_S, at least one; as `SqlStore._run_all`, which of them failed; by what
        the transaction was doomed; and by what to ask for the outcome of its commit, which isn't known of one
        that says nothing."""
        wrote, now = False, None
        until, played = time.monotonic() + GROUP_S, len(group)
        self._postgres.forget_mark(line)
        for position, job in enumerate(group):
            if position and time.monotonic() > until:
                played = position
                break
            tx = SqlTx(line, self._postgres, self._statements, now)
            self._run(job, tx)
            now = tx.asked_now
            if isinstance(job.error, asyncio.CancelledError):
                raise job.error  # the program is ending
            if tx.failed is not None or (job.error is not None and tx.wrote):
                return position, position, tx.failed, None
            wrote = wrote or tx.wrote
        done = group[:played]
        said = wrote or any(job.topics for job in done)
        return played, None, None, self._announce(line, done) if said else None

    def _announce(self, line: Line, group: list[_Job]) -> Mark:
        """Has the others woken by the commit, and learns by what to ask for its outcome."""
        payloads = self._wakeups.payloads(topic for job in group for topic in job.topics)
        known = self._postgres.mark(line)
        if known is not None and not payloads:
            return known
        _, mark = self._postgres.now_and_mark(line, payloads)
        return mark

    async def _took_place(self, mark: Mark, lost: Away) -> bool:
        """Whether a commit whose answer was lost took place. Raises _Unknown when nobody can tell."""
        until, pause_s, status = time.monotonic() + OUTCOME_WAIT_S, FIRST_PAUSE_S, ""
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(OUTCOME_WAIT_S), await self._postgres.connect() as connection:
                    asked = await connection.execute(
                        f"SELECT {SERVER}, CASE WHEN {SERVER} = %s THEN pg_xact_status(%s::xid8) END",
                        (mark.server, mark.transaction),
                    )
                    row = await asked.fetchone()
            except (psycopg.Error, OSError, TimeoutError):
                row = None
            if row is not None:
                server, status = str(row[0]), str(row[1])
                if server != mark.server or status in ("committed", "aborted"):
                    break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if status in ("committed", "aborted"):
            log.info("store.outcome_found", transaction=mark.transaction, status=status)
            return status == "committed"
        raise _Unknown(
            "store a change",
            device=self._postgres.device,
            answer=f"the connection was lost in the commit ({lost.answer}), and the server can't tell any"
            " more whether it took place",
            advice="Look at what is stored before doing it again",
        )


def _fail(group: list[_Job], error: Exception) -> None:
    for job in group:
        job.fail(error)

"""A server that restarts, is gone or silent, and commits whose answer is lost with it."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from fixtures.postgres_server import PostgresServer
from provisioner.core.errors import TransientError
from provisioner.core.model import Flavor
from provisioner.protocols.store import Store, Tx
from provisioner.store import postgres_store, postgres_wakeups, upgrade_store
from provisioner.store.postgres import Postgres
from provisioner.store.postgres_line import Line
from provisioner.store.postgres_store import PostgresStore
from tests.contract.store.conftest import PostgresDatabases
from tests.contract.store.hosts import play
from tests.contract.store.records import flavor

pytestmark = pytest.mark.wire


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """One to be stopped and frozen."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder, PostgresServer(Path(folder)) as server:
        yield server


def test_a_restart_of_the_server_is_a_delay(own_server: PostgresServer) -> None:
    url = own_server.new_database()
    upgrade_store(url)

    async def story(store: Store) -> int:
        await store.transact(lambda tx: tx.insert(flavor("a")))
        own_server.stop()
        own_server.start()
        await store.transact(lambda tx: tx.insert(flavor("b")))
        return await store.transact(lambda tx: tx.count(Flavor))

    assert play(url, story) == [2]


def test_a_server_that_is_gone_is_told_and_used_again_when_it_is_back(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "AWAY_PATIENCE_S", 0.1)
    url = own_server.new_database()
    upgrade_store(url)

    async def story(store: Store) -> int:
        await store.transact(lambda tx: tx.insert(flavor("a")))
        own_server.crash()
        with pytest.raises(TransientError, match="Look whether it runs"):
            await store.transact(lambda tx: tx.insert(flavor("b")))
        own_server.start()
        await store.transact(lambda tx: tx.insert(flavor("c")))
        return await store.transact(lambda tx: tx.count(Flavor))

    assert play(url, story) == [2]


def test_a_silent_server_blocks_nobody_who_watches_the_clock(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "ANSWER_S", 6.0)
    monkeypatch.setattr(postgres_store, "AWAY_PATIENCE_S", 0.1)
    monkeypatch.setattr("provisioner.store.postgres.CONNECT_TIMEOUT_S", 2)  # no less: libpq takes 1 for 2
    url = own_server.new_database()
    upgrade_store(url)

    async def story(store: Store) -> int:
        await store.transact(lambda tx: tx.insert(flavor("a")))
        own_server.freeze()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await store.transact(lambda tx: tx.count(Flavor))
        assert time.monotonic() - began < postgres_store.ANSWER_S - 1
        with pytest.raises(TransientError):
            await store.transact(lambda tx: tx.insert(flavor("b")))
        monkeypatch.setattr(postgres_store, "ANSWER_S", 30.0)
        monkeypatch.setattr(postgres_store, "AWAY_PATIENCE_S", 30.0)
        own_server.thaw()
        await store.transact(lambda tx: tx.insert(flavor("c")))
        return await store.transact(lambda tx: tx.count(Flavor))

    assert play(url, story) == [2]


@pytest.mark.parametrize("stored", [True, False])
def test_the_outcome_of_a_commit_whose_answer_was_lost_is_found_out(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """The connection is killed right after, or right before, the commit, whose caller hears of neither."""
    url = postgres.url()

    async def story(store: Store) -> tuple[int, int]:
        assert isinstance(store, PostgresStore)
        runs = 0

        def add(tx: Tx) -> None:
            nonlocal runs
            runs += 1
            tx.insert(flavor("a"))

        commit, lost = Line.commit, False

        async def lossy(line: Line) -> None:
            nonlocal lost
            if lost:
                return await commit(line)
            lost = True
            if stored:
                await commit(line)
            own = line.driver.info.backend_pid
            postgres.server.execute(f"SELECT pg_terminate_backend({own}, 5000)")
            return await line.driver.execute("SELECT 1") and None

        monkeypatch.setattr(Line, "commit", lossy)
        await store.transact(add)
        return runs, await store.transact(lambda tx: tx.count(Flavor))

    assert play(url, story) == [(1 if stored else 2, 1)]


def test_a_commit_that_the_server_forgot_as_it_recovered_is_not_taken_for_another_of_its_number(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills one session, for want of memory for instance: the server ends all of them, recovers,
    and goes on as the same process. It gives numbers again of which its log knows nothing."""
    monkeypatch.setattr(postgres_store, "OUTCOME_WAIT_S", 5.0)
    url = own_server.new_database()
    upgrade_store(url)
    commit, numbers = Line.commit, list[int]()
    # What would bring the log to the disk meanwhile.
    ((writer,),) = own_server.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
    os.kill(int(str(writer)), signal.SIGSTOP)

    def number() -> int:
        """Of a transaction that is stored."""
        ((told,),) = own_server.execute("SELECT pg_current_xact_id()::text")
        return int(str(told))

    async def lossy(line: Line) -> None:
        if numbers:
            return await commit(line)
        asked = await line.driver.execute("SELECT pg_current_xact_id()::text")
        row = await asked.fetchone()
        assert row is not None
        numbers.append(int(row[0]))
        with psycopg.connect(url.replace("+psycopg", "")) as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            victim.close()
        end_s = time.monotonic() + 30
        # Until it has noticed, it would store the next number, and the log up to there.
        while Path(f"/proc/{line.driver.info.backend_pid}").exists():
            assert time.monotonic() < end_s
            await asyncio.sleep(0.01)
        own_server.thaw()
        while numbers[-1] < numbers[0] or len(numbers) < 2:
            assert time.monotonic() < end_s
            with suppress(psycopg.OperationalError):
                numbers.append(number())
        return await commit(line)

    async def story(store: Store) -> int:
        with pytest.raises(TransientError, match="can't tell any more"):
            await store.transact(lambda tx: tx.insert(flavor("a")))
        return await store.transact(lambda tx: tx.count(Flavor))

    monkeypatch.setattr(Line, "commit", lossy)
    assert play(url, story) == [0]
    assert numbers[0] in numbers[1:], "the number wasn't given again: this proves nothing"


def test_a_server_that_falls_silent_before_it_is_listened_to_is_asked_again(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_wakeups, "ANSWER_S", 0.5)
    url, connect = own_server.new_database(), Postgres.connect
    upgrade_store(url)

    async def connect_in_vain(database: Postgres) -> psycopg.AsyncConnection[tuple[object, ...]]:
        connection = await connect(database)
        monkeypatch.setattr(Postgres, "connect", connect)
        own_server.freeze()
        return connection

    monkeypatch.setattr(Postgres, "connect", connect_in_vain)

    async def story(store: Store) -> bool:
        watch = store.watch("nodes")
        try:
            async with asyncio.timeout(20):
                while not any(line["event"] == "store.wakeups_lost" for line in logs):
                    await asyncio.sleep(0.02)
        finally:
            own_server.thaw()
        return await watch.wait(20)  # what was said meanwhile may be missed

    with capture_logs() as logs:
        assert play(url, story) == [True]

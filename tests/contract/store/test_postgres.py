"""What PostgreSQL has to keep besides the contract: several hosts at once, and the loss of the server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from fixtures.postgres_server import Network, PostgresServer
from provisioner.config.settings import RENEWAL_S, SHORTEST_LEASE_S
from provisioner.core.errors import InvalidInput, PermanentError, TransientError
from provisioner.core.model import Flavor, Node, TimelineEvent
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Store, Tx
from provisioner.store import open_store, postgres_store, postgres_wakeups, upgrade_store
from provisioner.store.migrate import REVISIONS, _migrate
from provisioner.store.postgres import SESSION, Postgres
from provisioner.store.postgres_line import Line
from provisioner.store.postgres_store import PostgresStore
from provisioner.store.schema import METADATA
from tests.contract.store.conftest import PostgresDatabases, name_in
from tests.contract.store.records import event, flavor, node

T = TypeVar("T")
IDLE = "idle_in_transaction_session_timeout"
TCP_REPAIR = 19  # linux/tcp.h
FROZEN = f"-c {IDLE}={SESSION[IDLE]}"

pytestmark = pytest.mark.wire


def play(url: str, *stories: Callable[[Store], Awaitable[T]]) -> list[T]:
    """Each story on a store of its own, as processes have them, all at once."""

    async def main() -> list[T]:
        stores = [open_store(url) for _ in stories]
        try:
            async with asyncio.timeout(60):
                return list(
                    await asyncio.gather(*(story(s) for story, s in zip(stories, stores, strict=True)))
                )
        finally:
            for store in stores:
                await store.close()

    return asyncio.run(main())


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """One to be stopped and frozen."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder, PostgresServer(Path(folder)) as server:
        yield server


def increment(tx: Tx) -> int:
    found = tx.get(Node, "id-a")
    assert found is not None
    assert tx.update(Node, "id-a", {"fence": found.fence + 1})
    return found.fence


def test_who_pages_by_number_misses_none_of_a_transaction_that_ends_later(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given up by the server, the slow one would be run again under a later number.
    monkeypatch.setitem(SESSION, IDLE, "60s")
    monkeypatch.setattr(postgres_store, "SETTLE_S", 60.0)
    url = postgres.url()
    written, may_end = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        """Given the first number, and stored after the second one."""
        tx.insert(event(name="first"))
        written.set()
        assert may_end.wait(60)

    async def write_slowly(store: Store) -> list[str]:
        await store.transact(slowly)
        return []

    async def page(store: Store) -> list[str]:
        await asyncio.to_thread(written.wait, 60)
        await store.transact(lambda tx: tx.insert(event(name="second")))
        stored = await store.transact(lambda tx: tx.find(TimelineEvent))
        assert [one.name for one in stored] == ["second"], "they are not in order: else this proves nothing"
        settling = asyncio.create_task(store.settled(TimelineEvent))
        for _ in range(5):  # in turn with its looks
            await store.transact(lambda tx: tx.now())
        assert not settling.done()
        may_end.set()
        settled = await settling
        found = await store.transact(lambda tx: tx.find(TimelineEvent))
        return [one.name for one in found if one.id <= settled]

    with ThreadPoolExecutor(1) as other:
        slow = other.submit(play, url, write_slowly)
        try:
            (found,) = play(url, page)
        finally:
            may_end.set()
        slow.result(60)
    assert found == ["first", "second"]


def test_who_pages_by_number_is_told_of_none_after_one_that_is_still_being_written(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "SETTLE_S", 0.05)
    monkeypatch.setitem(SESSION, IDLE, "60s")
    url = postgres.url()
    written, may_end = threading.Event(), threading.Event()

    def slowly(tx: Tx) -> None:
        tx.insert(event(name="second"))
        written.set()
        assert may_end.wait(60)

    async def write_slowly(store: Store) -> list[str]:
        await store.transact(slowly)
        return []

    async def page(store: Store) -> list[str]:
        await store.transact(lambda tx: tx.insert(event(name="first")))
        may_begin.set()
        await asyncio.to_thread(written.wait, 60)
        await store.transact(lambda tx: tx.insert(event(name="third")))
        settled = await store.settled(TimelineEvent)
        found = await store.transact(lambda tx: tx.find(TimelineEvent))
        return [one.name for one in found if one.id <= settled]

    may_begin = threading.Event()
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(lambda: may_begin.wait(60) and play(url, write_slowly))
        try:
            (found,) = play(url, page)
        finally:
            may_begin.set()
            may_end.set()
        slow.result(60)
    assert found == ["first"]


def test_no_update_is_lost_between_hosts(postgres: PostgresDatabases) -> None:
    url = postgres.url()
    play(url, lambda store: store.transact(lambda tx: tx.insert(node("a"))))

    async def story(store: Store) -> list[int]:
        return [await store.transact(increment) for _ in range(50)]

    seen = [number for found in play(url, story, story, story) for number in found]
    assert sorted(seen) == list(range(150))


def test_what_two_hosts_read_and_write_crosswise_is_as_if_one_came_first(postgres: PostgresDatabases) -> None:
    """Write skew: each sees that the other's record is missing, and adds its own. One must see it."""
    url = postgres.url()

    def adder(own: str, other: str) -> Callable[[Store], Awaitable[list[bool]]]:
        async def story(store: Store) -> list[bool]:
            def add(tx: Tx, number: int) -> bool:
                alone = not tx.find(Flavor, where={"name": f"{other}{number}"})
                tx.insert(flavor(f"{own}{number}"))
                return alone

            return [await store.transact(lambda tx, n=n: add(tx, n)) for n in range(40)]

        return story

    left, right = play(url, adder("a", "b"), adder("b", "a"))
    assert not any(first and second for first, second in zip(left, right, strict=True))


def test_a_long_transaction_comes_to_its_end_among_many_short_ones(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a takeover does while others work: it reads what they write, and they write in what it reads."""
    monkeypatch.setattr(postgres_store, "AGAIN_FOR_S", 20.0)
    url = postgres.url()
    dead = [f"dead-{number}" for number in range(40)]
    busy = [f"busy-{number}" for number in range(40)]
    nodes = [node(id, owner=id.partition("-")[0]) for id in (*dead, *busy)]
    play(url, lambda store: store.transact(lambda tx: tx.insert(*nodes)))
    begun, ended = threading.Event(), threading.Event()
    written = tries = 0

    def take_over(tx: Tx) -> int:
        nonlocal tries
        tries += 1
        tx.count(Node, where={"owner": "busy"})
        if tries <= postgres_store.ALONE_AFTER:
            least, end_s = written + len(busy) // 2, time.monotonic() + 30
            while written < least:
                assert time.monotonic() < end_s
                time.sleep(0.001)
        else:
            time.sleep(0.2)  # in which others would write, did they not wait
        return tx.update_all(Node, {f"id-{id}": {"owner": "busy", "fence": 9} for id in dead})

    async def work(store: Store) -> None:
        """Of another host, and a renewal of this one's lease."""
        nonlocal written
        while not ended.is_set():
            id = f"id-{busy[written % len(busy)]}"
            state = ProvisionState.DEPLOYING if written % 2 else ProvisionState.AVAILABLE
            await store.transact(lambda tx, id=id, state=state: tx.update(Node, id, {"state": state}))  # type: ignore[misc]
            written += 1
            begun.set()

    async def wait_and_take_over(store: Store) -> int:
        await asyncio.to_thread(begun.wait, 30)
        return await store.transact(take_over)

    with ThreadPoolExecutor(1) as other:
        working = other.submit(play, url, work)
        try:
            assert play(url, wait_and_take_over) == [len(dead)]
        finally:
            ended.set()
        working.result(60)


def test_a_watcher_on_one_host_wakes_by_what_another_stored(postgres: PostgresDatabases) -> None:
    url = postgres.url()
    listening = asyncio.Event()

    async def watcher(store: Store) -> bool:
        watch = store.watch("nodes")
        asked = f"SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = '{name_in(url)}'"
        while not postgres.server.execute(asked):
            await asyncio.sleep(0.02)
        listening.set()
        return await watch.wait(10)

    async def writer(store: Store) -> bool:
        await listening.wait()
        await store.transact(lambda tx: tx.notify("nodes"))
        return True

    assert play(url, watcher, writer) == [True, True]


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
    own_server.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    own_server.execute("SELECT pg_reload_conf()")
    url = own_server.new_database()
    upgrade_store(url)
    commit, numbers = Line.commit, list[int]()

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


def test_what_a_host_that_is_frozen_in_mid_transaction_held_is_free_again_before_others_lose_their_leases(
    postgres: PostgresDatabases,
) -> None:
    idle, *probes = (
        float(SESSION[name].removesuffix("s"))
        for name in (IDLE, *(f"tcp_keepalives_{part}" for part in ("idle", "interval", "count")))
    )
    first_s, each_s, most = probes
    assert max(idle, first_s + each_s * most) < SHORTEST_LEASE_S - RENEWAL_S
    url = postgres.url()
    play(url, lambda store: store.transact(lambda tx: tx.insert(node("a"))))

    async def story(store: Store) -> int:
        with psycopg.connect(url.replace("+psycopg", ""), options=FROZEN) as frozen:
            frozen.execute("UPDATE node SET fence = 9")
            found = await store.transact(increment)
            frozen.close()
            return found

    assert play(url, story) == [0]


@pytest.mark.parametrize("many", [1, 2, 3])
def test_a_host_that_is_frozen_after_it_wrote_rows_at_once_is_given_up_by_the_server(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    url = postgres.url()
    commit, given_up = Line.commit, False

    async def commit_when_given_up(line: Line) -> None:
        nonlocal given_up
        own = line.driver.info.backend_pid
        end_s = time.monotonic() + 30
        while not given_up and postgres.server.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {own}"):
            assert time.monotonic() < end_s, "the server waits for ever"
        given_up = True
        await commit(line)

    async def story(store: Store) -> int:
        with monkeypatch.context() as patched:
            patched.setattr(Line, "commit", commit_when_given_up)
            await store.transact(lambda tx: tx.insert(*(event(name=f"{i}") for i in range(many))))
        return await store.transact(lambda tx: tx.count(TimelineEvent))

    assert play(url, story) == [many]


def test_a_host_whose_connection_vanished_in_mid_message_is_given_up_by_the_server() -> None:
    """As when a network is cut: the server waits for the rest, which is no idleness in its eyes."""
    network = Network(IPv4Address("127.0.77.1"), IPv4Network("127.0.0.0/8"))  # of this test alone
    options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    with (
        tempfile.TemporaryDirectory(prefix="pg") as folder,
        PostgresServer(Path(folder), network=network) as server,
    ):
        url = server.new_database().replace("+psycopg", "")
        password = server.password_file.read_text().strip()
        held = psycopg.connect(url, password=password, options=options).pgconn
        held.exec_(b"CREATE TABLE rack (name text)")
        held.exec_(b"BEGIN; LOCK TABLE rack")
        held.enter_pipeline_mode()
        held.send_query_params(b"SELECT 1", None)
        held.flush()  # and no Sync
        waiting = "SELECT 1 FROM pg_stat_activity WHERE pid = {} AND state = 'active' AND {}"
        in_mid_message = waiting.format(held.backend_pid, "wait_event = 'ClientRead'")
        eventually("it waits for the rest", lambda: server.execute(in_mid_message))
        _vanish(held.socket)
        eventually(
            "the server gives it up", lambda: not server.execute(waiting.format(held.backend_pid, "true"))
        )


def _vanish(fd: int) -> None:
    """The connection is gone here, and the other end isn't told."""
    with socket.socket(fileno=os.dup(fd)) as connection:

        def unacknowledged() -> int:
            # tcpi_unacked of linux/tcp.h: an acknowledgement that came later would be answered by a reset
            return int.from_bytes(
                connection.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 28)[24:], sys.byteorder
            )

        eventually("all is acknowledged", lambda: unacknowledged() == 0)
        connection.setsockopt(socket.SOL_TCP, TCP_REPAIR, 1)
    os.close(fd)
    # Of the library, which closes it in its turn.
    assert os.open("/dev/null", os.O_RDONLY) == fd


def eventually(what: str, look: Callable[[], object]) -> None:
    end_s = time.monotonic() + 60
    while not look():
        assert time.monotonic() < end_s, f"not within a minute: {what}"
        time.sleep(0.05)


def test_a_host_that_was_frozen_before_its_commit_does_it_all_again(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, IDLE, "60s")
    url = postgres.url()
    commit, runs = Line.commit, 0

    def add(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        tx.insert(flavor("a"))

    async def commit_late(line: Line) -> None:
        """The first time, when the server has given it up."""
        own = line.driver.info.backend_pid
        end_s = time.monotonic() + 30
        if runs == 1:
            await line.driver.execute(f"SET LOCAL {IDLE} = '50ms'")
        while runs == 1 and postgres.server.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {own}"):
            assert time.monotonic() < end_s
        await commit(line)

    async def story(store: Store) -> int:
        await store.transact(add)
        return await store.transact(lambda tx: tx.count(Flavor))

    monkeypatch.setattr(Line, "commit", commit_late)
    assert play(url, story) == [1]
    assert runs == 2


def test_an_empty_database_is_refused_until_it_is_upgraded_and_a_newer_one_always(
    postgres: PostgresDatabases,
) -> None:
    url = postgres.server.new_database()
    with pytest.raises(PermanentError, match=r"none yet.*older than this program.*provisioner db upgrade"):
        open_store(url)
    assert upgrade_store(url)[0] is None
    assert upgrade_store(url)[0] == upgrade_store(url)[1]
    open_store(url)
    postgres.server.execute(f"UPDATE alembic_version SET version_num = '{REVISIONS[0]}'", name_in(url))
    with pytest.raises(PermanentError, match=rf"{REVISIONS[0]}.*older than this program.*Back it up, then"):
        open_store(url)
    postgres.server.execute("UPDATE alembic_version SET version_num = '9999'", name_in(url))
    with pytest.raises(PermanentError, match=r"9999.*newer than this program.*Upgrade the provisioner"):
        open_store(url)
    with pytest.raises(PermanentError, match="newer than this program"):
        upgrade_store(url)


def test_what_is_open_goes_on_when_the_schema_of_a_newer_version_has_more_columns(
    postgres: PostgresDatabases,
) -> None:
    """Hosts are upgraded one by one."""
    url = postgres.url()

    async def story(store: Store) -> list[int]:
        return [await written(store, number) for number in range(20)]  # by statements that are prepared, too

    async def written(store: Store, number: int) -> int:
        await store.transact(lambda tx: tx.insert(node(f"n{number}")))
        await store.transact(lambda tx: tx.update(Node, f"id-n{number}", {"fence": number}))
        if number == 9:
            for table in METADATA.tables:
                adds = f"ALTER TABLE \"{table}\" ADD COLUMN newer text NOT NULL DEFAULT ''"
                postgres.server.execute(adds, name_in(url))
        found = await store.transact(lambda tx: tx.get(Node, f"id-n{number}"))
        assert found is not None
        return found.fence

    assert play(url, story) == [list(range(20))]


def test_an_upgrade_may_pause_between_two_statements(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a host that serves nodes may not: it is taken for one that stands still."""
    url, seen = postgres.server.new_database(), list[str]()

    def looked_at(connection: sa.Connection) -> tuple[str | None, str]:
        asked = connection.execute(sa.text("SHOW idle_in_transaction_session_timeout"))
        seen.append(asked.scalar_one())
        return _migrate(connection)

    monkeypatch.setattr(sys.modules[_migrate.__module__], "_migrate", looked_at)
    upgrade_store(url)
    assert seen == ["1min"]


def test_a_database_of_something_else_is_refused(postgres: PostgresDatabases) -> None:
    url = postgres.server.new_database()
    postgres.server.execute("CREATE TABLE songs (title text)", name_in(url))
    for use in (open_store, upgrade_store):
        with pytest.raises(PermanentError, match="songs"):
            use(url)


def test_a_database_that_does_not_exist_or_a_server_that_does_not_run_is_named(
    postgres: PostgresDatabases, tmp_path: Path
) -> None:
    with pytest.raises((PermanentError, TransientError), match="nowhere"):
        open_store(postgres.server.url("nowhere"))
    with pytest.raises(TransientError, match="Look whether it runs"):
        open_store(f"postgresql+psycopg://provisioner@/x?host={tmp_path}")


def test_a_password_in_the_address_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInput, match="database_password_file") as raised:
        open_store("postgresql+psycopg://provisioner:sesame@db/provisioner")
    assert "sesame" not in raised.value.message


def test_an_address_of_no_known_database_is_no_file_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("mysql://root:sesame@db/x", "postgresql://root:sesame@db/x", "sqlite:///x.db"):
        for use in (open_store, upgrade_store):
            with pytest.raises(InvalidInput, match="not a kind of database") as raised:
                use(url)
            assert "sesame" not in raised.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_has_nothing_to_upgrade_and_is_a_kind_that_is_known() -> None:
    with pytest.raises(InvalidInput, match="keeps none") as raised:
        upgrade_store("memory:")
    assert "memory: to keep nothing" not in raised.value.message


def test_text_that_postgresql_cannot_hold_is_the_callers_fault(postgres: PostgresDatabases) -> None:
    async def story(store: Store) -> int:
        with pytest.raises(InvalidInput, match="NUL"):
            await store.transact(lambda tx: tx.insert(flavor("a\0b")))
        return await store.transact(lambda tx: tx.count(Flavor))

    assert play(postgres.url(), story) == [0]

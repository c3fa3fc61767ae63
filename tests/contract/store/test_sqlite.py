"""What SQLite has to keep besides the contract: durability, and failures that tell what to do."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from provisioner.core.errors import InvalidInput, PermanentError, StorageFull, TransientError
from provisioner.core.model import Flavor, TimelineEvent
from provisioner.protocols.store import Store
from provisioner.store import open_store, sql, sqlite
from provisioner.store.sql import SqlStore
from tests.contract.store.records import event, flavor

T = TypeVar("T")
ROOT = Path(__file__).parents[3]

WRITES_UNTIL_KILLED = """
import asyncio, sys
from provisioner.store import open_store
from tests.contract.store.records import event

async def main():
    store = open_store(sys.argv[1])
    async def write(caller):
        number = 0
        while True:
            text = f"{caller}-{number}"
            await store.transact(lambda tx: tx.insert(event(text=text), event(text=text)))
            print(text, flush=True)
            number += 1
    await asyncio.gather(*(write(caller) for caller in range(20)))

asyncio.run(main())
"""


@pytest.mark.wire
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    child = subprocess.Popen(
        [sys.executable, "-c", WRITES_UNTIL_KILLED, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        acknowledged = [child.stdout.readline().strip() for _ in range(2_000)]
    finally:
        child.send_signal(signal.SIGKILL)
        acknowledged += child.stdout.read().split("\n")[:-1]  # the last line may be cut
        child.wait()
        child.stdout.close()

    async def story(store: Store) -> list[str]:
        return [found.text for found in await store.transact(lambda tx: tx.find(TimelineEvent))]

    kept = play(url, story)
    assert len(acknowledged) >= 2_000
    assert set(acknowledged) <= set(kept)
    assert all(kept.count(text) == 2 for text in kept[-100:]), "a transaction was stored in part"


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        assert isinstance(store, SqlStore)
        with store._database.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"

    play(f"sqlite:///{tmp_path}/store.db", story)


def test_a_full_disk_is_reported_and_the_store_works_again_when_there_is_room(tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        assert isinstance(store, SqlStore)
        await store.transact(lambda tx: tx.insert(flavor("kept")))
        limit_pages(store, 60)
        with pytest.raises(StorageFull, match="Free space") as raised:
            for _ in range(1_000):
                await store.transact(lambda tx: tx.insert(event(text="x" * 1_000)))
        assert str(tmp_path) in raised.value.device
        outcomes = await asyncio.gather(
            store.transact(lambda tx: tx.count(Flavor)),
            store.transact(lambda tx: tx.insert(event(text="x" * 100_000))),
            store.transact(lambda tx: tx.count(Flavor)),
            return_exceptions=True,
        )
        assert isinstance(outcomes.pop(1), StorageFull)
        assert outcomes == [1, 1], "reading works on a full disk"
        limit_pages(store, 100_000)
        await store.transact(lambda tx: tx.insert(event(text="x" * 100_000)))

    play(f"sqlite:///{tmp_path}/store.db", story)


def limit_pages(store: SqlStore, pages: int) -> None:
    """SQLite's own limit fails as a full disk does (SQLITE_FULL), without one."""
    with store._database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


FILLS_ITS_DISK = """
import asyncio, sys
from pathlib import Path
from provisioner.core.errors import StorageFull
from provisioner.core.model import Flavor
from provisioner.store import open_store
from tests.contract.store.records import event, flavor

folder = Path(sys.argv[1])

async def main():
    store = open_store(f"sqlite:///{folder}/store.db")
    await store.transact(lambda tx: tx.insert(flavor("kept")))
    (folder / "filler").write_bytes(bytes(2**20))
    try:
        while True:
            await store.transact(lambda tx: tx.insert(event(text="x" * 10_000)))
    except StorageFull as error:
        print(error.message)
    assert await store.transact(lambda tx: tx.count(Flavor)) == 1
    (folder / "filler").unlink()
    await store.transact(lambda tx: tx.insert(event(text="x" * 10_000)))
    await store.close()

asyncio.run(main())
"""


@pytest.mark.wire
def test_a_disk_that_is_really_full_is_told_alike(tmp_path: Path) -> None:
    # A tmpfs in a mount namespace that ends with the child.
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", tmp_path, sys.executable, FILLS_ITS_DISK]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "SQLITE_FULL" in answer.stdout or "disk is full" in answer.stdout
    assert f"Free space on the file system of {tmp_path}" in answer.stdout


def test_a_database_held_by_another_process_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def story(store: Store) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.transact(lambda tx: tx.insert(flavor("a"))))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        other.execute("ROLLBACK")
        other.close()
        await waiting

    play(f"sqlite:///{path}", story)


def test_a_database_held_for_too_long_is_reported_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "BUSY_WAIT_S", 0.1)
    path = tmp_path / "store.db"

    async def story(store: Store) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match=f"database is locked.*fuser {path}"):
            await store.transact(lambda tx: tx.insert(flavor("a")))
        other.close()
        await store.transact(lambda tx: tx.insert(flavor("a")))

    play(f"sqlite:///{path}", story)


def test_a_loop_that_is_never_idle_does_not_starve_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in turns of a millisecond each, which a busy machine makes fewer of and no longer."""
    monkeypatch.setattr(sqlite, "_PRAGMAS", (*sqlite._PRAGMAS, "synchronous = OFF"))  # nor does a busy disk
    turns, transactions = 0, 50

    async def spin() -> None:
        nonlocal turns
        while True:
            turns += 1
            until = time.perf_counter() + 0.001
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    async def story(store: Store) -> None:
        spinner = asyncio.create_task(spin())
        for number in range(transactions):
            await store.transact(lambda tx, n=number: tx.insert(flavor(f"f{n}")))
        spinner.cancel()

    play(f"sqlite:///{tmp_path}/store.db", story)
    assert turns < 100 * transactions


@pytest.mark.wire
def test_a_watcher_wakes_by_what_another_process_stored_and_not_by_its_own_writes_twice(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    writes = f"""
import asyncio
from provisioner.store import open_store
from tests.contract.store.records import flavor
asyncio.run(open_store("{url}").transact(lambda tx: tx.insert(flavor("b"))))
"""

    async def story(store: Store) -> None:
        watch = store.watch("nodes")
        for number in range(20):
            await store.transact(lambda tx, n=number: tx.insert(flavor(f"a{n}")))
        assert not await watch.wait(3 * sql.ELSEWHERE_EVERY_S)
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", writes], cwd=ROOT, check=True)
        assert await watch.wait(10)
        assert not await watch.wait(3 * sql.ELSEWHERE_EVERY_S)

    play(url, story)


OPENS = "import sys; from provisioner.store import open_store; open_store(sys.argv[1])"


@pytest.mark.wire
def test_processes_that_open_a_new_file_at_once_make_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENS, f"sqlite:///{tmp_path}/store.db"]
    children = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [child.wait() for child in children] == [0] * 3


def test_a_new_file_takes_a_second_of_a_processor_at_most_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        begin = time.process_time()
        play(f"sqlite:///{tmp_path}/store.db", lambda store: store.transact(lambda tx: tx.insert(event())))
        assert time.process_time() - begin < 1
    finally:
        os.umask(old)
    assert (tmp_path / "store.db").stat().st_mode & 0o777 == 0o600


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    play(f"sqlite:///{path}", lambda store: store.transact(lambda tx: tx.insert(flavor("a"))))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    with pytest.raises(PermanentError, match=r"9999.*newer than this program.*Upgrade the provisioner"):
        open_store(f"sqlite:///{path}")


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(PermanentError, match="songs"):
        open_store(f"sqlite:///{tmp_path}/other.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("milk, bread\n" * 1_000)
    with pytest.raises(PermanentError, match=r"not a database.*name another file"):
        open_store(f"sqlite:///{tmp_path}/notes.txt")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"nowhere/store.db: No such file or directory.*folder"):
        open_store(f"sqlite:///{tmp_path}/nowhere/store.db")


@pytest.mark.parametrize("url", ["", "sqlite://store.db", "sqlite:///store.db", "mysql://root:secret@db/x"])
def test_an_unknown_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput, match="sqlite:////absolute/path") as raised:
        open_store(url)
    assert "secret" not in raised.value.message


def play(url: str, story: Callable[[Store], Awaitable[T]]) -> T:
    async def main() -> T:
        store = open_store(url)
        try:
            async with asyncio.timeout(60):
                return await story(store)
        finally:
            await store.close()

    return asyncio.run(main())

"""Hosts that are frozen or cut off in the middle of a transaction: what they hold is free again soon."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import psycopg
import pytest

from fixtures.postgres_server import Network, PostgresServer
from provisioner.config.settings import RENEWAL_S, SHORTEST_LEASE_S
from provisioner.core.model import Flavor, TimelineEvent
from provisioner.protocols.store import Store, Tx
from provisioner.store.postgres import SESSION
from provisioner.store.postgres_line import Line
from tests.contract.store.conftest import IDLE, PostgresDatabases
from tests.contract.store.hosts import increment, play
from tests.contract.store.records import event, flavor, node

pytestmark = pytest.mark.wire

DEADLINE_S = 60.0
OPTIONS = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
TCP_REPAIR = 19  # linux/tcp.h


def eventually(what: str, look: Callable[[], object]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < end_s, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.02)


def comes_to_be_given_up(server: PostgresServer, session: int) -> None:
    """session: its process of the server's. Whoever else runs here stands still meanwhile."""
    known = f"SELECT 1 FROM pg_stat_activity WHERE pid = {session}"
    eventually("the server gives the session up", lambda: not server.execute(known))


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
        with psycopg.connect(url.replace("+psycopg", ""), options=OPTIONS) as frozen:
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
    commit, commits = Line.commit, 0

    async def commit_late(line: Line) -> None:
        """The first time, when the server has given it up."""
        nonlocal commits
        commits += 1
        if commits == 1:
            comes_to_be_given_up(postgres.server, line.driver.info.backend_pid)
        await commit(line)

    async def story(store: Store) -> int:
        with monkeypatch.context() as patched:
            patched.setattr(Line, "commit", commit_late)
            await store.transact(lambda tx: tx.insert(*(event(name=f"{i}") for i in range(many))))
        return await store.transact(lambda tx: tx.count(TimelineEvent))

    assert play(url, story) == [many]
    assert commits > 1


def test_a_host_whose_connection_vanished_in_mid_message_is_given_up_by_the_server() -> None:
    """As when a network is cut: the server waits for the rest, which is no idleness in its eyes."""
    network = Network(IPv4Address("127.0.77.1"), IPv4Network("127.0.0.0/8"))  # of this test alone
    with (
        tempfile.TemporaryDirectory(prefix="pg") as folder,
        PostgresServer(Path(folder), network=network) as server,
    ):
        url = server.new_database().replace("+psycopg", "")
        password = server.password_file.read_text().strip()
        held = psycopg.connect(url, password=password, options=OPTIONS).pgconn
        session = held.backend_pid
        held.exec_(b"BEGIN")
        held.enter_pipeline_mode()
        held.send_query_params(b"SELECT 1", None)
        held.flush()  # and no Sync
        in_mid_message = f"pid = {session} AND state = 'active' AND wait_event = 'ClientRead'"
        eventually(
            "it waits for the rest",
            lambda: server.execute(f"SELECT 1 FROM pg_stat_activity WHERE {in_mid_message}"),
        )
        vanish(held.socket)
        comes_to_be_given_up(server, session)


def vanish(fd: int) -> None:
    """A connection is gone here, and the other end isn't told."""
    with socket.socket(fileno=os.dup(fd)) as connection:

        def unacknowledged() -> int:
            # tcpi_unacked of linux/tcp.h: an acknowledgement that came later would be answered by a reset
            told = connection.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 28)
            return int.from_bytes(told[24:], sys.byteorder)

        eventually("all is acknowledged", lambda: unacknowledged() == 0)
        connection.setsockopt(socket.SOL_TCP, TCP_REPAIR, 1)
        # Of the library, which closes it in its turn.
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), fd)


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
        if runs == 1:
            await line.driver.execute(f"SET LOCAL {IDLE} = '50ms'")
            comes_to_be_given_up(postgres.server, line.driver.info.backend_pid)
        await commit(line)

    async def story(store: Store) -> int:
        await store.transact(add)
        return await store.transact(lambda tx: tx.count(Flavor))

    monkeypatch.setattr(Line, "commit", commit_late)
    assert play(url, story) == [1]
    assert runs == 2

"""Many rows at once on PostgreSQL, to which each statement is a way there and back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from provisioner.compute.membership import Membership
from provisioner.compute.ownership import Hosts, adopt_at_start, give, share_out
from provisioner.core.model import Host, Node, TimelineEvent
from provisioner.protocols.store import Store, Tx
from provisioner.store import postgres_line
from provisioner.store.postgres import Postgres
from provisioner.store.postgres_line import Line
from tests.contract.store.conftest import PostgresDatabases
from tests.contract.store.hosts import increment, play
from tests.contract.store.records import AT, event, node
from tests.contract.store.test_postgres_gone import comes_to_be_given_up

pytestmark = pytest.mark.wire

MANY = 1_000
FEW = 20
"""Statements: what a transaction of one node takes."""

OWNED = [node(f"{number}", owner="dead") for number in range(MANY)]


def host(name: str, **fields: Any) -> Host:
    given = {"epoch": 1, "beat": 0, "ttl_ms": 5000, "holder": name, "renewed_at": AT, "started_at": AT}
    return Host(id=name, **{**given, **fields})


def seen(tx: Tx, name: str) -> Hosts:
    return Hosts.seen(tx, Membership(name), name, lambda: 0.0)


def taken_over(tx: Tx) -> int:
    return share_out(tx, seen(tx, "me"))


def taken_at_a_start(tx: Tx) -> int:
    return len(adopt_at_start(tx, "dead"))


def handed_over(tx: Tx) -> int:
    tx.update(Host, "dead", {"released": False})
    return give(tx, seen(tx, "dead"), tx.find(Node))


def added(tx: Tx) -> int:
    tx.insert(*(node(f"more-{number}") for number in range(MANY)))
    return tx.count(Node) - MANY


def heard_of(tx: Tx) -> int:
    tx.insert(*(event(node_id=one.id) for one in OWNED))
    return tx.count(TimelineEvent)


@pytest.mark.parametrize("work", [taken_over, taken_at_a_start, handed_over, added, heard_of])
def test_a_thousand_nodes_take_few_ways_to_the_server(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch, work: Callable[[Tx], int]
) -> None:
    execute, statements = psycopg.AsyncCursor.execute, list[str]()

    async def counted(cursor: psycopg.AsyncCursor[Any], text: Any, *rest: Any, **named: Any) -> Any:
        statements.append(text)
        return await execute(cursor, text, *rest, **named)

    async def story(store: Store) -> int:
        hosts = (host("me"), host("dead", released=True))
        await store.transact(lambda tx: tx.insert(*OWNED, *hosts))
        monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
        return await store.transact(work)

    assert play(postgres.url(), story) == [MANY]
    assert len(statements) <= FEW, statements


def test_more_rows_than_a_message_takes_go_in_several(
    postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_line, "MOST_ROWS", 3)
    monkeypatch.setattr(postgres_line, "MOST_TEXT", 1_000)
    names = [f"{number}" for number in range(8)]
    owners = {f"id-{name}": {"owner": f"host-{name}" * (500 if name == "4" else 1)} for name in names}

    async def story(store: Store) -> dict[str, Any]:
        await store.transact(lambda tx: tx.insert(*map(node, names)))
        assert await store.transact(lambda tx: tx.update_all(Node, {**owners, "id-z": {"owner": "h"}})) == 8
        found = await store.transact(lambda tx: tx.find(Node))
        return {one.id: {"owner": one.owner} for one in found}

    assert play(postgres.url(), story) == [owners]


def test_a_host_that_is_frozen_in_the_middle_of_what_it_says_of_many_rows_is_given_up_by_the_server(
    postgres: PostgresDatabases,
) -> None:
    """It holds what it wrote before, and its kernel answers for it."""
    url = postgres.url()
    play(url, lambda store: store.transact(lambda tx: tx.insert(node("a"))))
    text = "UPDATE node SET owner = given.owner FROM unnest(%s::text[], %s::text[]) AS given(owner, id)"
    rows = [("h" * 200, f"id-{n}") for n in range(MANY)]

    async def until_given_up(line: Line) -> None:
        """Of what it says only a part leaves it, in a transaction that has changed a node."""

        def say(line: Line, *rows: tuple[str, str]) -> None:
            line.cursor().executemany(text, rows)

        await line.driver.execute("UPDATE node SET fence = 9")
        await line.play(say, rows[0])
        session = line.driver.info.backend_pid
        with socket.fromfd(line.driver.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        os.kill(session, signal.SIGSTOP)  # or it would take some of it as it comes
        saying = asyncio.create_task(line.play(say, *rows))
        while line.driver.pgconn.flush() != 1:
            await asyncio.sleep(0)
        os.kill(session, signal.SIGCONT)
        comes_to_be_given_up(postgres.server, session)  # nothing else runs here meanwhile
        with pytest.raises(psycopg.Error):
            await saying

    async def story(store: Store) -> int:
        line = await Postgres(url).line()
        await until_given_up(line)
        await line.close()
        return await store.transact(increment)

    assert play(url, story) == [0]

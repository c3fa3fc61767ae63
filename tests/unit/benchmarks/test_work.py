"""Instructions are counted wherever they are spent, and come out the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import sqlalchemy as sa

from tests.benchmarks.work import Work


def instructions(nodes: int) -> int:
    """Of a look at each."""
    with Work() as work, work.counted() as count:
        assert not [node for node in range(nodes) if node < 0]
    return count()


def test_what_looks_at_each_node_costs_as_many_times_more_as_there_are_nodes() -> None:
    assert instructions(10_000) > 9 * instructions(1_000) > 9_000
    assert instructions(1_000) == instructions(1_000)


def test_what_a_task_does_meanwhile_counts() -> None:
    async def look(nodes: int) -> None:
        await asyncio.sleep(0)
        assert not [node for node in range(nodes) if node < 0]

    async def story() -> int:
        with Work() as work, work.counted() as count:
            await asyncio.create_task(look(1_000))
        return count()

    assert asyncio.run(story()) > 1_000


def test_what_sqlite_does_counts(tmp_path: Path) -> None:
    with Work() as work:
        engine = sa.create_engine(f"sqlite:///{tmp_path}/store.db")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT)")
            rows = [(number, f"n{number}") for number in range(10_000)]
            connection.exec_driver_sql("INSERT INTO nodes VALUES (?, ?)", rows)
        found = {}
        for asked in ("id = 7", "name = 'n7'"):  # by an index, and by a look at each
            with engine.begin() as connection, work.counted() as count:
                connection.exec_driver_sql(f"SELECT count(*) FROM nodes WHERE {asked}").one()
            found[asked] = count()
        engine.dispose()
    assert found["name = 'n7'"] > 10_000 > found["id = 7"]


def test_nothing_counts_that_is_done_before_or_after() -> None:
    with Work() as work:
        with work.counted() as count:
            pass
        least = count()
        assert not [node for node in range(1_000) if node < 0]
        assert count() == least < 100

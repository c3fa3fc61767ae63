"""The in-memory twin answers every sequence of transactions as the databases do."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioner.core.errors import Conflict
from provisioner.core.model import Image, Node, TimelineEvent
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Store, Tx
from tests.contract.store.conftest import PostgresDatabases, SqliteFiles, Stores, T, Teller
from tests.contract.store.records import event, image, node

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

NAMES = st.sampled_from("abc")
FENCES = st.integers(0, 2)
OWNERS = st.sampled_from([None, "h1", "h2"])
STATES = st.sampled_from([ProvisionState.AVAILABLE, ProvisionState.DEPLOYING])
NODE_CHANGES = st.fixed_dictionaries(
    {}, optional={"name": NAMES, "fence": FENCES, "owner": OWNERS, "state": STATES, "cpus": FENCES}
)
NODE_WHERE = st.fixed_dictionaries(
    {}, optional={"name": NAMES, "fence": st.lists(FENCES), "owner": OWNERS, "state": STATES}
)
RECORDS = st.one_of(
    st.builds(lambda id, name, **rest: node(name, id=id, **rest), NAMES, NAMES, owner=OWNERS, fence=FENCES),
    st.builds(lambda id, name: replace(image(name), id=id), NAMES, NAMES),
    st.builds(event, node_id=NAMES, fence=FENCES),
)
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.tuples(st.just("insert"), st.lists(RECORDS, max_size=3).map(tuple), st.just({})),
    st.tuples(
        st.just("update"),
        st.tuples(st.just(Node), NAMES, NODE_CHANGES),
        st.fixed_dictionaries({"expect": NODE_WHERE | st.none()}),
    ),
    st.tuples(
        st.just("delete"), st.tuples(st.just(Node), NAMES), st.fixed_dictionaries({"expect": NODE_WHERE})
    ),
    st.tuples(st.just("find"), st.just((Node,)), st.fixed_dictionaries({"where": NODE_WHERE})),
    st.tuples(st.just("count"), st.just((TimelineEvent,)), st.just({})),
    st.tuples(
        st.just("pick"),
        st.sampled_from([(Node, "id"), (Node, "owner", "state"), (Node, "maintenance", "updated_at")]),
        st.fixed_dictionaries({"where": NODE_WHERE}),
    ),
    st.tuples(st.just("fail"), st.just(()), st.just({})),
)


def run(calls: list[Call], said: list[Any]) -> Any:
    def work(tx: Tx) -> None:
        del said[:]  # a store may run it again
        for name, arguments, options in calls:
            if name == "fail":
                raise LookupError
            answer = getattr(tx, name)(*arguments, **options)
            said.append(sorted(answer, key=repr) if name == "pick" else answer)

    return work


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.wire)])
def on_database(request: pytest.FixtureRequest, tmp_path: Path) -> Teller:
    """Plays each story, of which one test has many, on an empty one."""
    if request.param == "sqlite":
        files: SqliteFiles = request.getfixturevalue("sqlite_files")
        return Stores("sqlite", lambda: files.url(Path(tempfile.mkdtemp(dir=tmp_path)) / "store.db")).play
    databases: PostgresDatabases = request.getfixturevalue("postgres")

    def play(story: Callable[[Store], Awaitable[T]]) -> T:
        with databases.lending() as lend:
            return Stores("postgresql", lend).play(story)

    return play


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.exhaustive
@given(transactions=st.lists(st.lists(CALLS, min_size=1, max_size=4), max_size=12))
def test_the_twins_agree(on_database: Teller, transactions: list[list[Call]]) -> None:
    async def story(store: Store) -> list[Any]:
        heard: list[Any] = []
        for calls in transactions:
            said: list[Any] = []
            try:
                await store.transact(run(calls, said))
            except LookupError:
                said.append("failed")
            except Conflict as error:
                said.append(error.tried)  # when id and name are taken both, either may be named
            heard.append(said)
        for kind in (Node, Image, TimelineEvent):
            kept: list[Any] = await store.transact(lambda tx, kind=kind: tx.find(kind))
            # Numbers ascend in every store, but only some leave gaps after a failure.
            heard.append([record for record in kept if kind is not TimelineEvent] or len(kept))
        return heard

    memory = Stores("memory", lambda: "memory:")
    assert _without_times(memory.play(story)) == _without_times(on_database(story))


def _without_times(said: Any) -> Any:
    if isinstance(said, list):
        return [_without_times(part) for part in said]
    if isinstance(said, Node):
        return (said.id, said.name, said.owner, said.fence, said.state, said.cpus)
    if isinstance(said, tuple):  # what was picked
        return tuple(part for part in said if not isinstance(part, datetime))
    return said

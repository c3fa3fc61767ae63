"""What consoles say is told by the APIs of processes that don't record it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from provisioner.compute.told_consoles import TAIL_BYTES, ToldConsoles
from provisioner.core.model import ConsoleTail, Node
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.store import Store
from provisioner.services.system import SystemClock
from provisioner.store import open_store
from tests.unit import records
from tests.unit.fakes import JumpingClock
from tests.unit.spoken import Spoken, says

Hear = Callable[[str, str], Coroutine[Any, Any, None]]


def played(folder: Path, story: Callable[[Store, Hear], Coroutine[Any, Any, None]]) -> None:
    """The node n is a's at first, of the instance i. Each host has a book of its own."""
    books: dict[str, tuple[ConsoleBook, Spoken]] = {}

    async def all_of_it() -> None:
        store = open_store("memory:", wall_clock=JumpingClock().wall)
        await store.transact(lambda tx: tx.insert(records.node(id="n", owner="a", instance_id="i")))

        async def hear(host: str, said: str, node: Node | None = None) -> None:
            """Work of this host on the node, in which its console says something."""
            if host not in books:
                own, spoken = says(folder / host)
                books[host] = ToldConsoles(own, store, SystemClock()), spoken
            book, spoken = books[host]
            spoken.said = said
            seen = await store.transact(lambda tx: tx.get(Node, "n"))
            await spoken.recorded(book, node or seen)  # type: ignore[arg-type]

        await story(store, hear)
        await store.close()

    asyncio.run(all_of_it())


async def told(store: Store) -> tuple[str, str] | None:
    tail = await store.transact(lambda tx: tx.get(ConsoleTail, "n"))
    return None if tail is None else (tail.instance_id, tail.text)


async def change(store: Store, **changes: Any) -> None:
    await store.transact(lambda tx: tx.update(Node, "n", changes))


def test_it_goes_on_where_the_host_before_ended(tmp_path: Path) -> None:
    async def story(store: Store, hear: Any) -> None:
        await hear("a", "one, ")
        await hear("a", "two, ")
        before = await store.transact(lambda tx: tx.get(Node, "n"))
        await change(store, owner="b", fence=2)
        await hear("b", "three")
        await hear("a", "whatever a host hears that lost the node", before)
        assert await told(store) == ("i", "one, two, three")

    played(tmp_path, story)


def test_of_an_instance_that_left_nothing_is_kept(tmp_path: Path) -> None:
    async def story(store: Store, hear: Any) -> None:
        await hear("a", "a secret of the first")
        before = await store.transact(lambda tx: tx.get(Node, "n"))
        await change(store, instance_id=None)
        await hear("a", "wiped", before)
        assert await told(store) is None
        await change(store, instance_id="j")
        await hear("a", "login: ")
        assert await told(store) == ("j", "login: ")
        await change(store, instance_id="k")
        await hear("a", "")
        assert await told(store) is None

    played(tmp_path, story)


def test_its_end_is_kept_as_every_database_can_hold_it(tmp_path: Path) -> None:
    async def story(store: Store, hear: Any) -> None:
        await hear("a", "\0" + "ü" * TAIL_BYTES)
        await hear("a", "\0end")
        assert await told(store) == ("i", "ü" * ((TAIL_BYTES - 6) // 2) + "\ufffdend")

    played(tmp_path, story)


def test_while_it_says_nothing_nothing_is_stored(tmp_path: Path) -> None:
    async def story(store: Store, hear: Any) -> None:
        own, spoken = says(tmp_path / "own")
        asked = 0

        class Counting:
            async def transact(self, work: Any) -> Any:
                nonlocal asked
                asked += 1
                return await store.transact(work)

        book = ToldConsoles(own, Counting(), JumpingClock())  # type: ignore[arg-type]
        node = await store.transact(lambda tx: tx.get(Node, "n"))
        assert node is not None
        spoken.said = "boot"
        async with book.recording(node):
            for _ in range(200):  # each a round or more
                await asyncio.sleep(0)
            assert (asked, await told(store)) == (1, ("i", "boot"))
        assert asked == 2

    played(tmp_path, story)

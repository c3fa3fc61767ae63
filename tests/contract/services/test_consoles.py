"""What `protocols.console` promises: consoles recorded to files, and those of the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.model import Node
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.power import Console, ConsoleSink
from provisioner.services.console_log import ConsoleLog
from scenarios.runner.model.consoles import ModelConsoles
from scenarios.runner.virtual_time import run
from tests.unit import records

DEADLINE_S = 60.0

Says = Callable[[str, str], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Shelf:
    """host: the book of one more compute host. says: the machine of a node, by its id, prints something while
    it is recorded; returns when that is done. play: ends what it is given."""

    host: Callable[[], ConsoleBook]
    says: Says
    play: Callable[[Coroutine[Any, Any, None]], None]


class Lines:
    """The consoles of all nodes: whoever listens hears what is said from then on."""

    def __init__(self) -> None:
        self._sinks: dict[str, list[ConsoleSink]] = {}

    async def of(self, node: Node) -> Console | None:
        return _Line(self._sinks.setdefault(node.id, []))

    async def say(self, node_id: str, text: str) -> None:
        while not self._sinks.get(node_id):
            await asyncio.sleep(0)  # who is to record it begins to listen
        for sink in self._sinks[node_id]:
            sink(text.encode())


class _Line:
    """`protocols.power.Console`."""

    def __init__(self, sinks: list[ConsoleSink]) -> None:
        self._sinks = sinks

    async def capture(self, sink: ConsoleSink) -> None:
        self._sinks.append(sink)
        try:
            await asyncio.Event().wait()
        finally:
            self._sinks.remove(sink)


def in_files(folder: Path) -> Shelf:
    lines, hosts = Lines(), iter(range(1, 100))
    return Shelf(lambda: ConsoleLog(folder / f"ch{next(hosts)}", lines.of), lines.say, bounded)


def in_the_model(folder: Path) -> Shelf:
    printed: dict[str, str] = {}

    async def say(node_id: str, text: str) -> None:
        printed[node_id] = printed.get(node_id, "") + text

    return Shelf(
        lambda: ModelConsoles(lambda node_id: printed.get(node_id, ""), {}),
        say,
        lambda story: run(story, 1),
    )


def bounded(story: Coroutine[Any, Any, None]) -> None:
    async def to_its_end() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await story

    asyncio.run(to_its_end())


@pytest.fixture(params=["files", "model"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return {"files": in_files, "model": in_the_model}[request.param](tmp_path)


def node(instance_id: str | None = None, id: str = "n") -> Node:
    return records.node(id=id, instance_id=instance_id)


async def said(shelf: Shelf, book: ConsoleBook, of: Node, text: str) -> None:
    async with book.recording(of):
        await shelf.says(of.id, text)


def test_what_a_machine_says_while_it_is_recorded_is_told_and_counted_in_bytes(shelf: Shelf) -> None:
    async def story() -> None:
        book = shelf.host()
        assert (book.position("n"), book.text("n")) == (0, "")
        async with book.recording(node("a")):
            await shelf.says("n", "Grüße\n")
            since = book.position("n")
            assert since == len("Grüße\n".encode())
            await shelf.says("n", "von n1, 20 °C\n")
            for of in ("a", None):
                assert book.text("n", of=of) == "Grüße\nvon n1, 20 °C\n"
                assert book.text("n", of=of, since=since) == "von n1, 20 °C\n"
                assert book.text("n", of=of, since=since + 4) == "n1, 20 °C\n"
                assert book.text("n", of=of, tail_bytes=5) == " °C\n"
                assert book.text("n", of=of, since=since, tail_bytes=1000) == "von n1, 20 °C\n"
                assert book.text("n", of=of, since=book.position("n")) == ""
        assert book.text("n") == "Grüße\nvon n1, 20 °C\n"

    shelf.play(story())


def test_a_console_is_recorded_once_as_long_as_anybody_holds_it(shelf: Shelf) -> None:
    async def story() -> None:
        book = shelf.host()
        async with book.recording(node("a")):
            async with book.recording(node("a")), book.recording(node("a")):
                await shelf.says("n", "held by three, ")
            await shelf.says("n", "by one, ")
        async with book.recording(node("a")):
            await shelf.says("n", "by another")
        assert book.text("n", of="a") == book.text("n") == "held by three, by one, by another"

    shelf.play(story())


def test_an_instance_is_told_what_was_recorded_since_the_node_is_its_own(shelf: Shelf) -> None:
    async def story() -> None:
        book = shelf.host()
        await said(shelf, book, node("a"), "of a\n")
        assert (book.text("n", of="a"), book.text("n", of="b")) == ("of a\n", "")
        await said(shelf, book, node(None), "wiped\n")
        assert (book.text("n", of="a"), book.text("n", of="b")) == ("", "")
        await said(shelf, book, node("b"), "of b\n")
        assert (book.text("n", of="a"), book.text("n", of="b")) == ("", "of b\n")
        assert book.text("n", of="b", since=2) == "of b\n"
        assert book.text("n", of="b", since=book.position("n") - 2) == "b\n"
        assert book.text("n", of="b", tail_bytes=2) == "b\n"
        assert book.text("n") == "of a\nwiped\nof b\n"

    shelf.play(story())


def test_a_host_that_has_not_recorded_an_instance_tells_it_nothing(shelf: Shelf) -> None:
    async def story() -> None:
        await said(shelf, shelf.host(), node("a"), "of a\n")
        other = shelf.host()
        assert other.text("n", of="a") == ""
        await said(shelf, other, node("b"), "of b\n")
        assert (other.text("n", of="a"), other.text("n", of="b")) == ("", "of b\n")

    shelf.play(story())


def test_a_host_counts_what_it_has_recorded_itself(shelf: Shelf) -> None:
    async def story() -> None:
        one, other = shelf.host(), shelf.host()
        await said(shelf, one, node("a"), "to one host\n")
        assert (one.position("n"), other.position("n")) == (len("to one host\n"), 0)
        await said(shelf, other, node("a"), "to the other\n")
        assert (one.text("n"), other.text("n")) == ("to one host\n", "to the other\n")
        await said(shelf, one, node("a"), "and back\n")
        assert one.text("n", of="a") == "to one host\nand back\n"
        assert (one.position("n"), other.position("n")) == (len(one.text("n")), len(other.text("n")))

    shelf.play(story())


def test_nodes_have_a_console_each(shelf: Shelf) -> None:
    async def story() -> None:
        book = shelf.host()
        async with book.recording(node("a", "n1")), book.recording(node("b", "n2")):
            await shelf.says("n1", "one")
            await shelf.says("n2", "second")
        assert (book.text("n1", of="a"), book.text("n2", of="b")) == ("one", "second")
        assert (book.text("n1", of="b"), book.position("n2")) == ("", 6)

    shelf.play(story())

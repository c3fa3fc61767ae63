"""A database server that is stopped for a while: whoever is in the way of it, it comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from scenarios.runner.machine.outage import Outages

DEADLINE_S = 30.0
FOR_LONG_S = 3600.0


class Server:
    """Stops when it may."""

    def __init__(self) -> None:
        self.may_stop = threading.Event()
        self.did: list[str] = []
        self.error: Exception | None = None

    def stop(self) -> None:
        assert self.may_stop.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        self.did.append("stop")

    def start(self) -> None:
        self.did.append("start")


@pytest.fixture
def server() -> Server:
    return Server()


def play(story: Callable[[Outages], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await story(Outages())

    asyncio.run(bounded())


def test_it_is_down_and_told_of_when_begun_and_up_when_over(server: Server) -> None:
    async def story(outages: Outages) -> None:
        server.may_stop.set()
        await outages.begin(server, 0.01, lambda: server.did.append("told"))
        assert server.did[:2] == ["stop", "told"]
        await outages.over()
        assert server.did == ["stop", "told", "start"]

    play(story)


def test_who_is_cancelled_while_it_stops_finds_it_up_again_when_it_is_over(server: Server) -> None:
    """A story that ends in that moment heals what it has begun."""

    async def story(outages: Outages) -> None:
        beginning = asyncio.create_task(outages.begin(server, 0.01, lambda: server.did.append("told")))
        await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.wait([beginning])
        assert beginning.cancelled()
        server.may_stop.set()
        await outages.over()
        assert server.did == ["stop", "told", "start"]

    play(story)


def test_it_comes_back_though_nobody_waits_for_it_any_more(server: Server) -> None:
    async def story(outages: Outages) -> None:
        server.may_stop.set()
        await outages.begin(server, 0.01, lambda: None)
        waiting = asyncio.create_task(outages.over())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await outages.over()
        assert server.did == ["stop", "start"]

    play(story)


def test_one_that_cannot_be_stopped_is_told_at_once_and_when_it_is_over(server: Server) -> None:
    async def story(outages: Outages) -> None:
        server.error = OSError("no such process")
        server.may_stop.set()
        with pytest.raises(OSError, match="no such process"):
            await outages.begin(server, FOR_LONG_S, lambda: server.did.append("told"))
        with pytest.raises(OSError, match="no such process"):
            await outages.over()
        await outages.leave()
        assert server.did == []

    play(story)


def test_who_leaves_waits_for_no_server_to_come_back(server: Server) -> None:
    async def story(outages: Outages) -> None:
        server.may_stop.set()
        await outages.begin(server, FOR_LONG_S, lambda: server.did.append("told"))
        await outages.leave()
        assert server.did == ["stop", "told"]

    play(story)


def test_where_nothing_was_stopped_nothing_is_waited_for() -> None:
    async def story(outages: Outages) -> None:
        await outages.over()
        await outages.leave()

    play(story)

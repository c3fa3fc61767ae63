"""The agent's client against the agent's own HTTP face, with commands made for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from provisioner.agent.http_server import AgentServer
from provisioner.core.errors import DeviceUnreachable, LeaseLost, PermanentError, TransientError
from provisioner.drivers import agent_client
from provisioner.drivers.agent_client import HttpAgentClient
from provisioner.services.system import RandomIds
from tests.serving import serving
from tests.unit.agent.stage import TOKEN, Stage

pytestmark = pytest.mark.wire
T = TypeVar("T")
DEADLINE_S = 60.0


@dataclass
class Agent:
    """A running agent."""

    stage: Stage
    port: int

    def play(
        self,
        story: Callable[[HttpAgentClient], Awaitable[T]],
        *,
        fence: int = 7,
        token: str = TOKEN,
        address: str = "127.0.0.1",
    ) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(trust_env=False) as http:
                return await story(HttpAgentClient(address, self.port, token, fence, http, RandomIds()))

        return asyncio.run(bounded())


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    stage = Stage(tmp_path)
    status = {"node": "n1", "boot_id": "boot-1", "version": "1.0"}
    server = AgentServer(
        ("127.0.0.1", 0),
        token=TOKEN,
        board=stage.board,
        status=lambda: {**status, "fence": stage.board.fence},
    )
    with serving(server), closing(stage):
        yield Agent(stage, server.server_port)


def test_the_status_names_node_boot_and_fence(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        status = await client.status()
        assert (status.node_id, status.boot_id, status.fence) == ("n1", "boot-1", 0)

    agent.play(story)


def test_a_command_gives_its_result(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        assert await client.run("note", {"text": "hello"}, timeout_s=20) == {"noted": "hello"}

    agent.play(story)
    assert agent.stage.acts == ["shut out", "hello"]


def test_a_long_command_is_waited_for_and_tells_of_its_progress(agent: Agent) -> None:
    seen: list[float] = []

    def progress(done: float) -> None:
        seen.append(done)
        agent.stage.gate.set()

    async def story(client: HttpAgentClient) -> None:
        assert await client.run("hold", {}, timeout_s=20, progress=progress) == {}

    agent.play(story)
    assert seen and set(seen) == {0.5}


def test_a_failed_command_carries_the_agents_code_and_words(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        with pytest.raises(PermanentError, match=r"run fail on agent at .*fetch water") as caught:
            await client.run("fail", {}, timeout_s=20)
        assert caught.value.code == "disk-on-fire"

    agent.play(story)


@pytest.mark.parametrize(
    ("name", "params", "code"),
    [
        ("no_such", {}, "unknown-command-name"),
        ("note", {"text": "NO"}, "invalid-params"),
        ("note", {}, "invalid-params"),
    ],
)
def test_a_refused_command_is_permanent(agent: Agent, name: str, params: dict[str, str], code: str) -> None:
    async def story(client: HttpAgentClient) -> None:
        with pytest.raises(PermanentError) as caught:
            await client.run(name, params, timeout_s=20)
        assert caught.value.code == code

    agent.play(story)


def test_an_older_fence_has_lost_the_node(agent: Agent) -> None:
    async def note(client: HttpAgentClient) -> None:
        await client.run("note", {"text": "mine"}, timeout_s=20)

    agent.play(note, fence=8)
    with pytest.raises(LeaseLost, match="fence 7 is older than 8"):
        agent.play(note, fence=7)


def test_a_command_that_a_newer_owner_ends_has_lost_the_node(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        holding = asyncio.ensure_future(client.run("hold", {}, timeout_s=20))
        while agent.stage.board.last() is None:
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(trust_env=False) as http:
            newer = HttpAgentClient("127.0.0.1", agent.port, TOKEN, 8, http, RandomIds())
            assert await newer.run("note", {"text": "mine"}, timeout_s=20) == {"noted": "mine"}
        with pytest.raises(LeaseLost, match="newer fence 8"):
            await holding

    agent.play(story)


def test_a_command_of_the_same_owner_waits_for_the_one_before_it(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        holding = asyncio.ensure_future(client.run("hold", {}, timeout_s=20))
        while agent.stage.board.last() is None:
            await asyncio.sleep(0.01)
        second = asyncio.ensure_future(client.run("note", {"text": "second"}, timeout_s=20))
        await asyncio.sleep(0)
        agent.stage.gate.set()
        assert await second == {"noted": "second"}
        assert await holding == {}

    agent.play(story)


def test_a_command_whose_time_is_up_is_cancelled_on_the_node(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        with pytest.raises(TransientError, match="not done after 0 s"):
            await client.run("hold", {}, timeout_s=0.3)
        assert await client.run("note", {"text": "after"}, timeout_s=20) == {"noted": "after"}

    agent.play(story)


def test_a_caller_that_goes_away_takes_its_command_along(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        holding = asyncio.ensure_future(client.run("hold", {}, timeout_s=20))
        while agent.stage.board.last() is None:
            await asyncio.sleep(0.01)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        assert await client.run("note", {"text": "after"}, timeout_s=20) == {"noted": "after"}

    agent.play(story)


def test_an_agent_of_another_boot_is_none(agent: Agent) -> None:
    async def story(client: HttpAgentClient) -> None:
        with pytest.raises(DeviceUnreachable, match="another token") as caught:
            await client.status()
        assert "f" * 32 not in str(caught.value)

    agent.play(story, token="f" * 32)


def test_where_no_agent_is_the_status_says_so_and_a_command_after_some_patience(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_client, "SILENCE_S", 1.0)

    async def story(client: HttpAgentClient) -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(DeviceUnreachable):
            await client.status()
        began_s = loop.time()
        with pytest.raises(DeviceUnreachable):  # and not that its time is up
            await client.run("note", {"text": "lost"}, timeout_s=20)
        assert loop.time() - began_s > 0.4

    agent.play(story, address="127.0.0.2")


def is_no_agent(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], why: str
) -> None:
    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(trust_env=False) as http:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(DeviceUnreachable, match=why):
                await HttpAgentClient("127.0.0.1", port, TOKEN, 1, http, RandomIds()).status()
            server.close()

    asyncio.run(story())


def test_something_else_that_answers_there_is_no_agent() -> None:
    """Of a size and form that no agent's answer has."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            writer.close()

    is_no_agent(endless, "longer than")


@pytest.mark.parametrize(
    "body", [b'{"a": ' * 900 + b"1" + b"}" * 900, b'{"a": ' * 20_000, b"[1]", b"no JSON"], ids=range(4)
)
def test_what_is_no_answer_of_an_agent_is_no_defect_of_ours(body: bytes) -> None:
    """However deep it is nested."""

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    is_no_agent(answers, "200 without JSON")

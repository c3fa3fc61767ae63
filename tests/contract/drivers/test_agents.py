"""What `protocols.agent` promises: agents in memory, in the model, behind the agent's own HTTP face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceUnreachable, LeaseLost, PermanentError, TransientError
from provisioner.protocols.agent import AgentClient
from tests.contract.drivers.agents import BOOT, NODE, Bench, Story, play

Play = Callable[[Story], None]

HTTP = pytest.param("http", marks=pytest.mark.wire)
TAKES_TIME = pytest.mark.parametrize("kind", ["model", HTTP])
"""Commands of an agent in memory take none."""


@pytest.fixture(params=["fake", "model", HTTP])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def plays(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    return lambda story: play(kind, tmp_path, monkeypatch, story)


async def noted(client: AgentClient, text: str) -> None:
    assert await client.run("note", {"text": text}, timeout_s=20) == {"noted": text}


async def holding(bench: Bench, client: AgentClient) -> asyncio.Task[object]:
    task = asyncio.ensure_future(client.run("hold", {}, timeout_s=50, progress=lambda done: None))
    while not bench.holds():
        await asyncio.sleep(0.01)
    return task


def test_the_status_names_node_and_boot_and_the_newest_fence_that_was_seen(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        for fence in (0, 7, 9):
            if fence:
                await noted(bench.client(fence=fence), "text")
            status = await bench.client(fence=1).status()
            assert (status.node_id, status.boot_id, status.fence) == (NODE, BOOT, fence)
            assert status.version

    plays(story)


def test_a_failed_command_carries_the_agents_code_and_words(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(PermanentError, match=r"run fail.*fetch water") as caught:
            await bench.client().run("fail", {}, timeout_s=20)
        assert caught.value.code == "disk-on-fire"
        await noted(bench.client(), "after")

    plays(story)


def test_a_command_that_does_not_exist_is_refused_for_good(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(PermanentError, match="run no_such") as caught:
            await bench.client().run("no_such", {}, timeout_s=20)
        assert caught.value.code == "unknown-command-name"

    plays(story)


def test_an_older_fence_has_lost_the_node_and_does_nothing_to_it(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        await noted(bench.client(fence=8), "mine")
        with pytest.raises(LeaseLost, match="fence 7 is older than 8"):
            await bench.client(fence=7).run("note", {"text": "late"}, timeout_s=20)
        assert bench.noted == ["mine"]

    plays(story)


def test_an_agent_of_another_boot_is_none(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        client = bench.client(token="f" * 32)
        for asked in (client.status(), client.run("note", {"text": "lost"}, timeout_s=20)):
            with pytest.raises(DeviceUnreachable) as caught:
                await asked
            assert "f" * 32 not in str(caught.value)
        assert bench.noted == []

    plays(story)


def test_where_no_agent_is_nothing_is_reached(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        client = bench.client(nobody=True)
        for asked in (client.status(), client.run("note", {"text": "lost"}, timeout_s=20)):
            with pytest.raises(DeviceUnreachable):
                await asked

    plays(story)


@TAKES_TIME
def test_a_command_that_a_newer_owner_ends_has_lost_the_node(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        task = await holding(bench, bench.client(fence=7))
        await noted(bench.client(fence=8), "mine")
        with pytest.raises(LeaseLost, match="fence 8"):
            await task

    plays(story)


@TAKES_TIME
def test_a_command_of_the_same_owner_waits_for_the_one_before_it(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        first = await holding(bench, bench.client())
        second = asyncio.ensure_future(noted(bench.client(), "second"))
        await asyncio.sleep(0.1)
        assert bench.noted == []
        bench.let_go()
        await second
        assert await first == {}

    plays(story)


@TAKES_TIME
def test_a_command_whose_time_is_up_goes_no_further(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(TransientError, match=r"run hold.*not done after 0 s"):
            await bench.client().run("hold", {}, timeout_s=0.3)
        await noted(bench.client(), "after")

    plays(story)


@TAKES_TIME
def test_a_caller_that_goes_away_takes_its_command_along(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        task = await holding(bench, bench.client())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await noted(bench.client(), "after")

    plays(story)


@TAKES_TIME
def test_a_command_that_the_agent_forgot_may_be_given_again(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        task = await holding(bench, bench.client())
        bench.restart()
        with pytest.raises(TransientError, match="forgot the command") as caught:
            await task
        assert not isinstance(caught.value, DeviceUnreachable)
        await noted(bench.client(), "again")

    plays(story)

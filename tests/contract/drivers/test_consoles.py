"""What `protocols.power.Console` promises: a BMC's serial-over-LAN, a board's monitor, that in the model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from provisioner.core.errors import PermanentError
from provisioner.drivers import ipmi_console, tile_monitor
from tests.contract.drivers.consoles import DEADLINE_S, Bench, Story, play, without

Play = Callable[[Story], None]

WIRES = [pytest.param(kind, marks=pytest.mark.wire) for kind in ("ipmi", "tile")]
LINES = "".join(f"line {number}\n" for number in range(400))


@pytest.fixture(params=["model", *WIRES])
def plays(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(ipmi_console, "RECONNECT_S", 0.1)
    monkeypatch.setattr(tile_monitor, "CONSOLE_POLL_S", 0.1)
    return lambda story: play(request.param, tmp_path, story)


@asynccontextmanager
async def captured(bench: Bench) -> AsyncIterator[bytearray]:
    heard = bytearray()
    async with asyncio.TaskGroup() as group:  # a capture that fails ends the story
        capturing = group.create_task(bench.console.capture(heard.extend))
        yield heard
        capturing.cancel()


async def until_heard(bench: Bench, heard: bytearray, text: str) -> None:
    """The machine says it again and again, and nothing else: nobody sees when the device begins to listen."""
    while text.encode() not in heard:
        bench.says(text)
        await asyncio.sleep(0.1)


async def lines_come_through(bench: Bench, heard: bytearray, mark: str) -> None:
    """Once each, in order, as soon as one that was marked has come."""
    await until_heard(bench, heard, mark)
    for line in LINES.splitlines(keepends=True):
        bench.says(line)
    bench.says("end\n")
    while not heard.endswith(b"end\n"):
        await asyncio.sleep(0.01)
    assert heard.decode().rpartition(mark)[2] == f"{LINES}end\n"


def test_what_a_machine_prints_is_heard_once_and_in_order(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        async with captured(bench) as heard:
            await lines_come_through(bench, heard, "login: ")

    plays(story)


def test_a_console_goes_on_after_its_device_has_dropped_it_and_says_nothing_of_its_own(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        async with captured(bench) as heard:
            await until_heard(bench, heard, "login: ")
            bench.drops()
            await lines_come_through(bench, heard, "once more: ")
            said = heard.decode().removesuffix(f"{LINES}end\n")
            assert re.fullmatch(r"(login: )+(once more: )+", said)

    plays(story)


def test_a_capture_that_is_cancelled_hears_no_more_and_the_next_one_does(plays: Play) -> None:
    async def story(bench: Bench) -> None:
        async with captured(bench) as first:
            await until_heard(bench, first, "first\n")
        async with captured(bench) as second:
            await until_heard(bench, second, "second\n")
        assert b"second" not in first

    plays(story)


@pytest.mark.parametrize("kind", ["ipmi", "tile", "model"])
def test_where_there_is_no_console_a_capture_ends_for_good(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(PermanentError):
                await without(kind, tmp_path).capture(lambda data: None)

    asyncio.run(story())

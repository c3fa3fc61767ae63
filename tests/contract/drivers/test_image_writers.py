"""What `protocols.image` promises of writers: to records in memory, to disks of the model, by qemu-img."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import PermanentError, TransientError
from provisioner.protocols.image import DiskTarget
from tests.contract.drivers.disks import OFFSET, Bench, Story, plays

Play = Callable[[Story], None]

QEMU_IMG = pytest.param("qemu-img", marks=pytest.mark.wire)
TAKES_TIME = pytest.mark.parametrize("kind", ["model", QEMU_IMG])
"""What is written in memory is there at once."""


@pytest.fixture(params=["fake", "model", QEMU_IMG])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def play(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    return lambda story: plays(kind, tmp_path, monkeypatch, story)


async def write(
    bench: Bench,
    *,
    source: Path | None = None,
    target: DiskTarget | None = None,
    offset_bytes: int = OFFSET,
    progress: Callable[[float], None] = lambda done: None,
    slow: bool = False,
) -> None:
    await bench.writer(slow=slow).write(
        source or bench.source,
        format="raw",
        target=target or bench.target,
        offset_bytes=offset_bytes,
        size_bytes=bench.size_bytes,
        progress=progress,
    )


def test_the_disk_holds_the_image_where_it_belongs_and_nothing_else_however_often_it_is_written(
    play: Play,
) -> None:
    async def story(bench: Bench) -> None:
        for _ in range(2):
            seen: list[float] = []
            await write(bench, progress=seen.append)
            assert bench.holds_image()
            assert seen == sorted(seen)
            assert (seen[-1], min(seen) >= 0) == (1.0, True)

    play(story)


@pytest.mark.parametrize("change", [{"chap_password": "f" * 32}, {"iqn": "iqn.2026-11.provisioner:node.1.2"}])
def test_a_writer_of_another_export_is_shut_out(change: dict[str, Any], play: Play) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(TransientError, match="shut out by a newer export") as caught:
            await write(bench, target=replace(bench.target, **change))
        assert bench.untouched()
        assert not [
            secret for secret in ("f" * 32, bench.target.chap_password) if secret in str(caught.value)
        ]

    play(story)


def test_a_disk_that_is_too_small_is_told_of_and_left_alone(play: Play) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(PermanentError, match="too small for the image"):
            await write(bench, offset_bytes=bench.disk_bytes - bench.size_bytes + OFFSET)
        assert bench.untouched()

    play(story)


def test_an_image_that_cannot_be_read_is_told_of(play: Play, tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(PermanentError, match="the image can't be read"):
            await write(bench, source=tmp_path / "gone")
        assert bench.untouched()

    play(story)


def test_a_target_that_is_not_there_may_come_back(play: Play) -> None:
    async def story(bench: Bench) -> None:
        bench.lose()
        with pytest.raises(TransientError, match="write the image"):
            await write(bench)

    play(story)


@TAKES_TIME
def test_a_connection_that_is_lost_for_good_ends_the_writing(play: Play) -> None:
    async def story(bench: Bench) -> None:
        lost: list[float] = []

        def lose(done: float) -> None:
            if 0 < done < 1 and not lost:
                lost.append(done)
                bench.lose()

        with pytest.raises(TransientError, match="connection was lost, and not made again"):
            await write(bench, progress=lose, slow=True)
        assert lost
        assert not await bench.goes_on()

    play(story)


@TAKES_TIME
def test_a_cancelled_writing_goes_no_further(play: Play) -> None:
    async def story(bench: Bench) -> None:
        begun = asyncio.Event()
        writing = asyncio.ensure_future(write(bench, progress=lambda done: begun.set(), slow=True))
        await begun.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert not await bench.goes_on()

    play(story)

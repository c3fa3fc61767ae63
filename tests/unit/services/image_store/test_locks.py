from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from errno import EIO, EMFILE, ENOLCK, ESTALE, ETIMEDOUT
from pathlib import Path

import pytest

from provisioner.core.errors import BeingReceived, ImagesAway, PermanentError, TransientError
from provisioner.protocols.image import StoredImage
from provisioner.services.image_locks import ImageLocks
from provisioner.services.image_store import ImageStore
from tests.unit.image_locks import Waiting, refusing
from tests.unit.services.image_store.content import disk, save
from tests.unit.services.image_store.test_sudden_ends import ROOT


async def is_free(locks: ImageLocks) -> bool:
    try:
        async with locks.alone(wait_s=0):
            return True
    except TransientError as error:
        assert "another one had it for 0 s" in error.message
        return False


def test_one_at_a_time_of_two_processes_is_alone(
    store: ImageStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Waiting(monkeypatch)

    async def enter(other: ImageStore, entered: list[ImageStore]) -> None:
        async with other.alone():
            entered.append(other)

    async def story() -> None:
        for other in (store, ImageStore(root)):
            entered: list[ImageStore] = []
            async with store.alone():
                task = asyncio.create_task(enter(other, entered))
                if other is store:
                    await asyncio.sleep(0)
                else:
                    await waiting.or_end_of(task)
                assert not entered
            await task
            assert entered

    asyncio.run(story())


def test_who_is_cancelled_while_it_waits_holds_nobody_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch)
    ours, others = ImageStore(root), ImageLocks(root)

    async def enter() -> None:
        async with ours.alone():
            raise AssertionError("it was cancelled")

    async def story() -> None:
        async with others.alone():
            task = asyncio.create_task(enter())
            await waiting.or_end_of(task)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with ours.alone():
            assert not await is_free(others)
        assert await is_free(others)

    asyncio.run(story())


HOLDS_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from provisioner.services.image_store import ImageStore

async def main():
    images = ImageStore(Path(sys.argv[1]))
    async with images.receiving("image-1"), images.alone():
        print("alone", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_what_a_killed_process_had_locked_is_free(root: Path) -> None:
    command = [sys.executable, "-c", HOLDS_FOR_EVER, str(root)]
    locks = ImageLocks(root)

    async def receive() -> None:
        async with locks.receiving("image-1"):
            pass

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "alone\n"
            assert not asyncio.run(is_free(locks))
        finally:
            child.send_signal(signal.SIGKILL)
    assert asyncio.run(is_free(locks))
    asyncio.run(receive())


async def enter(store: ImageStore) -> None:
    async with store.alone():
        pass


def test_a_file_system_without_locks_is_told(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(ENOLCK))
    with pytest.raises(PermanentError, match=r"images/lock: No locks available\. .*nolock"):
        asyncio.run(enter(store))


@pytest.mark.parametrize("number", [ETIMEDOUT, EIO, ESTALE, EMFILE])
def test_a_file_system_that_is_away_may_come_back(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    with pytest.raises(ImagesAway, match=f"images/lock: {os.strerror(number)}\\. Try again"):
        asyncio.run(enter(store))


def test_nobody_is_alone_between_the_bytes_and_what_names_them(store: ImageStore, root: Path) -> None:
    others, told = ImageLocks(root), []

    async def name(stored: StoredImage) -> None:
        assert store.path(stored.sha256).exists()
        assert not await is_free(others)
        told.append(stored)

    async def story() -> StoredImage:
        stored = await save(store, disk(), then=name)
        assert await is_free(others)
        return stored

    assert told == [] and [asyncio.run(story())] == told


def test_nobody_is_alone_before_what_names_the_bytes_has_ended_though_it_is_cancelled(
    store: ImageStore, root: Path
) -> None:
    others, events = ImageLocks(root), []

    async def name(stored: StoredImage) -> None:
        events.append("begun")
        begun.set()
        await answers.wait()
        assert not await is_free(others)
        events.append("named")

    async def story() -> None:
        saving = asyncio.create_task(save(store, disk(), then=name))
        await begun.wait()
        saving.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not await is_free(others)
        answers.set()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert await is_free(others)

    begun, answers = asyncio.Event(), asyncio.Event()
    asyncio.run(story())
    assert events == ["begun", "named"]


def test_an_image_is_received_by_one_at_a_time_of_two_processes(store: ImageStore, root: Path) -> None:
    async def story() -> None:
        other = ImageStore(root)
        async with store.receiving("image-1"):
            for one in (store, other):
                with pytest.raises(BeingReceived, match="image image-1: they are being received already"):
                    await one.receiving("image-1").__aenter__()
            async with other.receiving("image-2"):
                pass
        async with other.receiving("image-1"):
            pass

    asyncio.run(story())


def test_what_is_left_of_receivers_is_removed_by_the_next(store: ImageStore, root: Path) -> None:
    async def story() -> None:
        for image in ("image-1", "image-2"):
            async with store.receiving(image):
                pass
        shutil.rmtree(root / "receiving")
        (root / "lock").unlink()
        for image in ("image-1", "image-2", "image-2"):
            async with store.receiving("image-3"), store.receiving(image):
                pass
        assert sorted(path.name for path in (root / "receiving").iterdir()) == ["image-2", "image-3"]

    asyncio.run(story())

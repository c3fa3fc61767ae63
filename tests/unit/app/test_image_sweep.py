from __future__ import annotations

import asyncio
import fcntl
from errno import ETIMEDOUT
from pathlib import Path

import pytest

from provisioner.app.image_sweep import BATCH, sweep_images
from provisioner.core.model import Image, ImageState
from provisioner.protocols.image import StoredImage
from provisioner.services.image_locks import ImageLocks
from provisioner.services.image_store import ImageStore
from provisioner.store.memory import MemoryStore
from tests.unit import records
from tests.unit.image_locks import Waiting, refusing
from tests.unit.services.image_store.content import save


def sha256(number: int) -> str:
    return f"{number:064x}"


def swept(folder: Path, stored: range, rows: list[Image]) -> list[str]:
    """What is left of the bytes `stored` when the database holds `rows`."""

    async def run() -> list[str]:
        images, store = ImageStore(folder), MemoryStore(lambda: records.NOW)
        for number in stored:
            (folder / "blobs" / sha256(number)).write_bytes(b"bytes")
        await store.transact(lambda tx: tx.insert(*rows))
        await sweep_images(store, images)
        return images.stored()

    return asyncio.run(run())


def row(number: int, **changes: object) -> Image:
    return records.image(id=f"image-{number}", name=f"i{number}", sha256=sha256(number), **changes)


def test_bytes_that_no_image_has_are_removed_however_many_there_are(tmp_path: Path) -> None:
    assert swept(tmp_path, range(BATCH + 3), [row(1), row(BATCH + 1)]) == [sha256(1), sha256(BATCH + 1)]


def test_bytes_that_are_promised_to_an_image_are_kept(tmp_path: Path) -> None:
    assert swept(tmp_path, range(2), [row(0, state=ImageState.QUEUED)]) == [sha256(0)]


def test_a_database_without_images_costs_nobody_their_bytes(tmp_path: Path) -> None:
    assert len(swept(tmp_path, range(3), [])) == 3


def test_bytes_that_another_process_is_about_to_name_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Waiting(monkeypatch)
    store = MemoryStore(lambda: records.NOW)

    async def name(stored: StoredImage) -> None:
        sweeping = asyncio.create_task(sweep_images(store, ImageStore(tmp_path)))
        await waiting.or_end_of(sweeping)
        image = records.image(id="image-1", name="i1", sha256=stored.sha256)
        await store.transact(lambda tx: tx.insert(image))
        sweepings.append(sweeping)

    async def story() -> None:
        await store.transact(lambda tx: tx.insert(row(0)))
        images = ImageStore(tmp_path)
        stored = await save(images, bytes(512), then=name)
        await sweepings[0]
        assert images.stored() == [stored.sha256]

    sweepings: list[asyncio.Task[None]] = []
    asyncio.run(story())


def test_a_process_that_stands_still_keeps_no_other_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, store = ImageStore(tmp_path), MemoryStore(lambda: records.NOW)
    monkeypatch.setattr(images, "alone", lambda: ImageLocks(tmp_path).alone(wait_s=0))
    (tmp_path / "blobs" / sha256(1)).write_bytes(b"bytes")

    async def story() -> None:
        await store.transact(lambda tx: tx.insert(row(0)))
        async with ImageStore(tmp_path).alone():
            await sweep_images(store, images)

    asyncio.run(story())
    assert images.stored() == [sha256(1)]


def test_a_file_system_that_is_away_for_a_moment_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = ImageStore(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refusing(ETIMEDOUT))
    assert swept(tmp_path, range(2), [row(0)]) == images.stored() == [sha256(0), sha256(1)]

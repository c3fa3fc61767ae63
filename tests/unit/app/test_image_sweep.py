from __future__ import annotations

import asyncio
from pathlib import Path

from provisioner.app.image_sweep import BATCH, sweep_images
from provisioner.core.model import Image, ImageState
from provisioner.services.image_store import ImageStore
from provisioner.store.memory import MemoryStore
from tests.unit import records


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

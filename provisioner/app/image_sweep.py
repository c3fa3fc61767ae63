"""At the start: images' bytes that no image has any longer."""

from __future__ import annotations

import structlog

from provisioner.core.errors import TransientError
from provisioner.core.model import Image
from provisioner.protocols.store import Store, Tx
from provisioner.services.image_store import ImageStore

log = structlog.get_logger(__name__)

BATCH = 500
"""Files looked up in one transaction."""


async def sweep_images(store: Store, images: ImageStore) -> None:
    """Removes the bytes of a process that died between an image's row and its file.

    Beside other API processes, which have what they receive named before we are alone. A database without
    any image is more likely the wrong one than the truth: nothing is removed then; nor is it while another
    process stands still, which is no reason not to start.
    """
    stored = images.stored()
    if not stored:
        return
    if not await store.transact(lambda tx: tx.count(Image)):
        log.warning(
            "images.not_swept",
            files=len(stored),
            advice="The database has no image at all: if it is the right one, empty the folder images/blobs",
        )
        return
    try:
        for start in range(0, len(stored), BATCH):
            await _sweep(store, images, tuple(stored[start : start + BATCH]))
    except TransientError as error:
        log.warning("images.not_swept", files=len(stored), cause=error.message)


async def _sweep(store: Store, images: ImageStore, stored: tuple[str, ...]) -> None:
    async with images.alone():
        for sha256 in await store.transact(lambda tx: _unknown(tx, stored)):
            await images.delete(sha256)
            log.info("image.orphan_removed", sha256=sha256)


def _unknown(tx: Tx, stored: tuple[str, ...]) -> list[str]:
    known = {image.sha256 for image in tx.find(Image, where={"sha256": stored})}
    return [sha256 for sha256 in stored if sha256 not in known]

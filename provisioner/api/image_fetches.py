"""Fetches images from their URLs, in the background, and again after a restart."""

from __future__ import annotations

import structlog

from provisioner.api.context import ApiContext
from provisioner.api.image_orders import fetch
from provisioner.core.errors import ProvisionerError
from provisioner.core.model import Image, ImageState

log = structlog.get_logger(__name__)

STORE_AWAY_S = 2.0
"""Until the store is asked again after it failed us."""

_WAITING = (ImageState.QUEUED, ImageState.SAVING)


class ImageFetches:
    """One at a time: they share the disk."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._news = context.images_queued
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        cut_uploads_known = False
        while True:
            try:
                if not cut_uploads_known:
                    await self._forget_cut_uploads()
                    cut_uploads_known = True
                await self._news.wait()
                self._news.clear()
                await self._fetch_waiting()
            except ProvisionerError as error:
                log.warning("images.interrupted", cause=error.message)
                self._news.set()
                await self._context.clock.sleep(STORE_AWAY_S)

    async def _fetch_waiting(self) -> None:
        found = await self._context.store.transact(lambda tx: tx.find(Image, where={"state": _WAITING}))
        for image in found:
            if image.source_url:
                await self._fetch(image)

    async def _fetch(self, image: Image) -> None:
        try:
            await fetch(self._context, image.id)
        except ProvisionerError as error:
            log.warning("image.not_fetched", image=image.name, cause=error.message)

    async def _forget_cut_uploads(self) -> None:
        """Uploads that the last process was receiving when it died: their clients have to send again."""
        await self._context.store.transact(
            lambda tx: [
                tx.update(Image, image.id, {"state": ImageState.QUEUED})
                for image in tx.find(Image, where={"state": ImageState.SAVING})
                if not image.source_url
            ]
        )

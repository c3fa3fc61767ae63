"""Fetches images from their URLs, in the background, and again after a restart."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from provisioner.api.context import ApiContext
from provisioner.api.image_orders import WAITING, fetch
from provisioner.core.errors import BeingReceived, Defect, ProvisionerError, TransientError
from provisioner.core.model import Image, ImageState

log = structlog.get_logger(__name__)

STORE_AWAY_S = 2.0
"""Until the store is asked again after it failed us."""

ELSEWHERE_S = 30.0
"""Until it is looked again for what no process fetches any longer: one that dies tells nobody."""

AT_ONCE = 3
"""They share the disk."""

COUNTED_S = 300.0
"""Of those, for so long: a server that takes longer holds up its own tenant's alone."""

MOST = 30
"""However long they take."""


class ImageFetches:
    """A few at once, and of each tenant one: a server that trickles holds up its own tenant's alone. Tenants
    take turns."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._news = context.images_queued
        self._news.set()
        self._waiting: dict[str, dict[str, Image]] = {}  # by tenant and id; whose turn is next stands first
        self._under_way: dict[str, Image] = {}  # by tenant
        self._long: set[str] = set()  # tenants whose isn't counted any more

    async def run(self) -> None:
        """Until cancelled."""
        cut_uploads_known = False
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again_and_again())
            while True:
                try:
                    if not cut_uploads_known:
                        await self._forget_cut_uploads()
                        cut_uploads_known = True
                    await self._news.wait()
                    self._news.clear()
                    await self._look()
                    self._begin(group)
                except Exception as error:  # noqa: BLE001 - whatever it is, the others are fetched
                    _tell("images.interrupted", error, "look for images to fetch")
                    self._news.set()
                    await self._context.clock.sleep(STORE_AWAY_S)

    async def _look(self) -> None:
        # One that ends while the store is read is found as it was before.
        known = {image.id for image in self._under_way.values()}
        found = await self._context.store.transact(lambda tx: tx.find(Image, where={"state": WAITING}))
        for image in found:
            if image.source_url and image.id not in known:
                self._waiting.setdefault(image.tenant, {}).setdefault(image.id, image)

    def _begin(self, group: asyncio.TaskGroup) -> None:
        for tenant in [one for one in self._waiting if one not in self._under_way]:
            all_ = len(self._under_way)
            if all_ - len(self._long) >= AT_ONCE or all_ >= MOST:
                return
            queue = self._waiting.pop(tenant)
            image = queue.pop(next(iter(queue)))
            if queue:
                self._waiting[tenant] = queue
            self._under_way[tenant] = image
            group.create_task(self._fetch(image, group))

    async def _fetch(self, image: Image, group: asyncio.TaskGroup) -> None:
        counted = group.create_task(self._count_no_longer(image.tenant, group))
        try:
            with suppress(BeingReceived):
                await fetch(self._context, image.id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are fetched
            _tell("image.not_fetched", error, "fetch the image", image.name)
            if isinstance(error, TransientError):
                # It may have been the store that failed, and the image still be to be fetched.
                await self._context.clock.sleep(STORE_AWAY_S)
                self._news.set()
        counted.cancel()
        self._long.discard(image.tenant)
        del self._under_way[image.tenant]
        self._begin(group)

    async def _count_no_longer(self, tenant: str, group: asyncio.TaskGroup) -> None:
        await self._context.clock.sleep(COUNTED_S)
        self._long.add(tenant)
        self._begin(group)

    async def _look_again_and_again(self) -> None:
        while True:
            await self._context.clock.sleep(ELSEWHERE_S)
            self._news.set()

    async def _forget_cut_uploads(self) -> None:
        """Uploads whose receiver has died: their clients have to send again."""
        saving = {"state": ImageState.SAVING}
        for image in await self._context.store.transact(lambda tx: tx.find(Image, where=saving)):
            if not image.source_url:
                with suppress(BeingReceived):
                    await self._forget(image)

    async def _forget(self, upload: Image) -> None:
        queued, saving = {"state": ImageState.QUEUED}, {"state": ImageState.SAVING}
        async with self._context.images.receiving(upload.id):
            await self._context.store.transact(lambda tx: tx.update(Image, upload.id, queued, expect=saving))


def _tell(event: str, error: Exception, tried: str, image: str = "") -> None:
    about = {"image": image} if image else {}
    if isinstance(error, ProvisionerError):
        log.warning(event, cause=error.message, **about)
    else:
        log.error(
            event, cause=Defect.of(tried, image and f"image {image}", error).message, exc_info=error, **about
        )

"""API processes that share a database and a folder of images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.api import image_fetches
from provisioner.api.context import ApiContext
from provisioner.api.image_fetches import ImageFetches
from provisioner.api.image_orders import fetch, remove
from provisioner.core.errors import BeingReceived
from provisioner.core.model import Image, ImageState
from provisioner.core.roles import Principal, Role
from provisioner.services.image_store import ImageStore
from provisioner.services.system import SystemClock
from tests.unit.api.conftest import Api
from tests.unit.api.test_images import CONTENT, SHA256, register, send
from tests.unit.image_locks import Waiting

ADMIN = Principal(user="admin", tenant="", role=Role.ADMIN, credential="")


def of_another_process(api: Api, folder: Path, **changes: Any) -> ApiContext:
    """Its context, on the same database and the same folder of images."""
    images = ImageStore(folder / "images", reserve_bytes=0)
    return replace(api.context, images=images, images_queued=asyncio.Event(), **changes)


def test_bytes_that_an_image_of_another_process_gets_now_are_not_removed(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Waiting(monkeypatch)
    register(api, "one")
    send(api, "one")
    register(api, "two")
    context = of_another_process(api, tmp_path)
    delete, tasks = context.images.delete, []

    async def after_the_others_image(sha256: str) -> None:
        """Was found to be needed no longer before."""
        tasks.append(asyncio.create_task(api.request("PUT", "/v1/images/two/content", content=CONTENT)))
        await waiting.or_end_of(tasks[0])
        await delete(sha256)

    async def story() -> None:
        monkeypatch.setattr(context.images, "delete", after_the_others_image)
        await remove(context.of(ADMIN), "one")
        assert (await tasks[0]).json()["state"] == "active"

    api.run(story())
    assert api.images.path(SHA256).read_bytes() == CONTENT


def test_an_upload_that_another_process_receives_is_left_alone_at_a_start(api: Api, tmp_path: Path) -> None:
    lives, dead = register(api, "lives"), register(api, "dead")
    other = of_another_process(api, tmp_path)
    for image in (lives, dead):
        api.transact(lambda tx, id=image["id"]: tx.update(Image, id, {"state": ImageState.SAVING}))

    async def story() -> None:
        async with other.images.receiving(lives["id"]):
            starting = asyncio.create_task(ImageFetches(api.context).run())
            async with asyncio.timeout(10):
                while (await api.request("GET", "/v1/images/dead")).json()["state"] != "queued":
                    await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait((starting,))
            refused = await api.request("PUT", "/v1/images/lives/content", content=CONTENT)
            assert refused.status_code == 409
            assert "being received already" in refused.json()["title"]
            assert (await api.request("GET", "/v1/images/lives")).json()["state"] == "saving"
        # Nobody has to start for it, once its receiver is dead.
        sent = await api.request("PUT", "/v1/images/lives/content", content=CONTENT)
        assert sent.json()["state"] == "active"

    api.run(story())


@pytest.mark.parametrize("state", [ImageState.ACTIVE, ImageState.ERROR])
def test_an_image_is_not_fetched_again_that_another_process_has_done_with(
    api: Api, tmp_path: Path, state: ImageState
) -> None:
    image = register(api)
    url = (tmp_path / "nothing.raw").as_uri()
    api.transact(lambda tx: tx.update(Image, image["id"], {"source_url": url, "state": state}))
    before = api.get("/v1/images/tiny")
    api.run(fetch(of_another_process(api, tmp_path), image["id"]))
    assert api.get("/v1/images/tiny") == before


class Rounds(SystemClock):
    """Sleeps until told that it is over. No fetch takes long."""

    def __init__(self) -> None:
        self._over = asyncio.Semaphore(0)

    async def sleep(self, duration_s: float) -> None:
        if duration_s == image_fetches.COUNTED_S:
            await asyncio.Event().wait()
        assert duration_s == image_fetches.ELSEWHERE_S
        await self._over.acquire()

    def next(self) -> None:
        self._over.release()


def test_what_a_process_was_fetching_is_fetched_by_one_that_had_nothing_to_do_when_that_one_is_dead(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    image, clock, refused = register(api), Rounds(), asyncio.Event()
    dies, idle = of_another_process(api, tmp_path), of_another_process(api, tmp_path, clock=clock)
    fetching = {"source_url": (tmp_path / "tiny.raw").as_uri(), "state": ImageState.SAVING}

    async def watched(context: ApiContext, image_id: str) -> None:
        try:
            await fetch(context, image_id)
        except BeingReceived:
            refused.set()
            raise

    async def story() -> None:
        running = asyncio.create_task(ImageFetches(idle).run())
        async with asyncio.timeout(10):
            await looked.wait()
            async with dies.images.receiving(image["id"]):
                await api.store.transact(lambda tx: tx.update(Image, image["id"], fetching))
                clock.next()
                await refused.wait()
                assert (await api.request("GET", "/v1/images/tiny")).json()["state"] == "saving"
            clock.next()
            while (await api.request("GET", "/v1/images/tiny")).json()["state"] != "active":
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait((running,))

    look, looked = ImageFetches._look, asyncio.Event()

    async def once(fetches: ImageFetches) -> None:
        await look(fetches)
        looked.set()

    monkeypatch.setattr(ImageFetches, "_look", once)
    monkeypatch.setattr(image_fetches, "fetch", watched)
    api.run(story())


@pytest.mark.parametrize("state", [ImageState.ACTIVE, ImageState.ERROR])
def test_bytes_that_come_too_late_change_nothing_and_are_gone(api: Api, state: ImageState) -> None:
    image = register(api)
    others = {"state": state, "sha256": "ab" * 32, "size_bytes": 1024}

    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT[:256]
        await api.store.transact(lambda tx: tx.update(Image, image["id"], others))
        yield CONTENT[256:]

    refused = send(api, content=chunks())  # type: ignore[arg-type]
    assert refused.status_code == 409
    assert f"it is {state} by now" in refused.json()["title"]
    found = api.get("/v1/images/tiny")
    assert (found["state"], found["sha256"], found["size_bytes"]) == (state, "ab" * 32, 1024)
    assert api.images.stored() == []


def test_bytes_that_come_too_late_stay_where_an_image_has_the_same(api: Api) -> None:
    image = register(api)

    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT
        same = {"state": ImageState.ACTIVE, "sha256": SHA256}
        await api.store.transact(lambda tx: tx.update(Image, image["id"], same))

    assert send(api, content=chunks()).json()["state"] == "active"  # type: ignore[arg-type]
    assert api.images.stored() == [SHA256]

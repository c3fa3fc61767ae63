"""API processes that share a database and a folder of images."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.api import image_fetches
from provisioner.api.context import ApiContext
from provisioner.api.image_fetches import ImageFetches
from provisioner.api.image_orders import fetch, remove
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


def test_of_two_processes_one_fetches_and_the_other_begins_when_that_one_is_dead(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    begun, dies, looks_again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def for_ever(*about: Any, **how: Any) -> None:
        begun.set()
        await dies.wait()
        raise asyncio.CancelledError

    class Clock(SystemClock):
        async def sleep(self, duration_s: float) -> None:
            assert duration_s == image_fetches.ELSEWHERE_S
            looks_again.set()
            await dies.wait()

    async def story() -> None:
        await begun.wait()
        other = ImageFetches(of_another_process(api, tmp_path, clock=Clock()))
        running = asyncio.create_task(other.run())
        async with asyncio.timeout(10):
            await looks_again.wait()
            dies.set()
            while (await api.request("GET", "/v1/images/tiny")).json()["state"] != "active":
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait((running,))

    monkeypatch.setattr(api.images, "fetch", for_ever)
    register(api, url=(tmp_path / "tiny.raw").as_uri())
    api.run(story())

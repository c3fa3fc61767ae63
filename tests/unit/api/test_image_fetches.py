"""Images that are fetched from a URL, in the background."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.api import image_fetches
from provisioner.api.context import ApiContext
from provisioner.api.image_fetches import ImageFetches
from provisioner.api.image_orders import fetch
from provisioner.core.errors import ImageInvalid, ImagesAway, TransientError
from provisioner.core.model import Image, ImageState
from provisioner.protocols.store import Store
from tests.unit.api.conftest import Api
from tests.unit.api.image_calls import CONTENT, SHA256, register, send


def until(api: Api, name: str, state: str) -> Any:
    async def story() -> Any:
        async with asyncio.timeout(10):
            while True:
                found = (await api.request("GET", f"/v1/images/{name}")).json()
                if found["state"] == state:
                    return found
                await asyncio.sleep(0.01)  # not all of a processor: others' tests run beside this one

    return api.run(story())


def test_an_image_is_fetched_from_its_url_in_the_background(api: Api, tmp_path: Path) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    register(api, url=(tmp_path / "tiny.raw").as_uri())
    assert until(api, "tiny", "active")["sha256"] == SHA256


def test_a_url_behind_which_nothing_is_ends_in_error_and_holds_no_other_up(api: Api, tmp_path: Path) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    register(api, "nothing", url=(tmp_path / "nothing.raw").as_uri())
    register(api, url=(tmp_path / "tiny.raw").as_uri())
    until(api, "tiny", "active")
    assert "nothing.raw" in until(api, "nothing", "error")["failure"]["message"]


def test_fetches_go_on_after_a_restart_and_cut_uploads_may_be_sent_again(api: Api, tmp_path: Path) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    fetched = register(api, "fetched", url=(tmp_path / "tiny.raw").as_uri())
    sent = register(api, "sent")
    until(api, "fetched", "active")

    def as_a_killed_process_leaves_it(tx: Any) -> None:
        for image in (fetched, sent):
            tx.update(Image, image["id"], {"state": ImageState.SAVING})

    async def restarted() -> None:
        task = asyncio.create_task(ImageFetches(api.context).run())
        try:
            async with asyncio.timeout(10):
                while (await api.request("GET", "/v1/images/fetched")).json()["state"] != "active":
                    pass
        finally:
            task.cancel()
            await asyncio.wait((task,))

    api.transact(as_a_killed_process_leaves_it)
    api.run(restarted())
    assert send(api, "sent").json()["state"] == "active"


@pytest.mark.parametrize(
    ("befalls", "state"),
    [
        (asyncio.CancelledError(), "queued"),
        (ImagesAway("lock the images"), "queued"),
        (TransientError("fetch it"), "error"),
        (ImageInvalid("fetch it"), "error"),
    ],
)
def test_a_fetch_that_fails_by_what_is_not_its_images_is_begun_anew(
    api: Api, monkeypatch: pytest.MonkeyPatch, befalls: BaseException, state: str
) -> None:
    async def cut_off(*about: Any, **how: Any) -> None:
        raise befalls

    monkeypatch.setattr(api.images, "fetch", cut_off)
    image = register(api, url="file:///somewhere/tiny.raw")
    with pytest.raises(type(befalls)):
        api.run(fetch(api.context, image["id"]))
    assert api.get("/v1/images/tiny")["state"] == state


def test_a_second_process_that_fails_to_fetch_spoils_nothing_of_the_first(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = register(api, url="file:///somewhere/tiny.raw")

    async def fails_late(*about: Any, **how: Any) -> None:
        await api.store.transact(lambda tx: tx.update(Image, image["id"], {"state": ImageState.ACTIVE}))
        raise ImageInvalid("fetch it")

    monkeypatch.setattr(api.images, "fetch", fails_late)
    with pytest.raises(ImageInvalid):
        api.run(fetch(api.context, image["id"]))
    assert api.get("/v1/images/tiny")["state"] == "active"


def test_a_store_that_is_away_for_a_moment_ends_no_fetches(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    transact, failures = api.store.transact, [2]

    async def sometimes(work: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise TransientError("use the database", answer="it is away")
        return await transact(work)

    async def at_once(duration_s: float) -> None:
        await asyncio.sleep(0)

    register(api, url=(tmp_path / "tiny.raw").as_uri())
    monkeypatch.setattr(api.context.clock, "sleep", at_once)

    async def story() -> None:
        fetches = ImageFetches(api.context)
        monkeypatch.setattr(api.store, "transact", sometimes)
        task = asyncio.create_task(fetches.run())
        try:
            async with asyncio.timeout(10):
                while (await api.request("GET", "/v1/images/tiny")).json().get("state") != "active":
                    pass
        finally:
            task.cancel()
            await asyncio.wait((task,))

    api.run(story())
    assert failures == [0]


class AwayAt:
    """A store that is away at some of its transactions, counted from 1."""

    def __init__(self, store: Store, *numbers: int) -> None:
        self._store = store
        self._numbers = numbers
        self._count = 0

    async def transact(self, work: Any) -> Any:
        self._count += 1
        if self._count in self._numbers:
            raise TransientError("use the database", answer="it is away")
        return await self._store.transact(work)


START, FINISH, GIVE_UP = 1, 2, 3
"""The transactions of a fetch; the last one is of a fetch that failed."""


@pytest.mark.parametrize("away_at", [(START,), (FINISH,), (FINISH, GIVE_UP)])
def test_a_fetch_that_the_store_was_away_from_is_begun_again_without_anybody_asking(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away_at: tuple[int, ...]
) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    store: Any = AwayAt(api.store, *away_at)

    async def over_it(context: ApiContext, image_id: str) -> None:
        await fetch(replace(context, store=store), image_id)

    monkeypatch.setattr(image_fetches, "fetch", over_it)
    monkeypatch.setattr(image_fetches, "STORE_AWAY_S", 0.01)
    register(api, url=(tmp_path / "tiny.raw").as_uri())
    until(api, "tiny", "active")


def test_a_fetch_that_is_cut_off_while_the_store_is_away_is_cut_off(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cancelled it waits for that."""

    async def cut_off(*about: Any, **how: Any) -> None:
        raise asyncio.CancelledError

    image = register(api)
    api.transact(lambda tx: tx.update(Image, image["id"], {"source_url": "file:///somewhere/tiny.raw"}))
    monkeypatch.setattr(api.images, "fetch", cut_off)
    store: Any = AwayAt(api.store, FINISH)
    with pytest.raises(asyncio.CancelledError):
        api.run(fetch(replace(api.context, store=store), image["id"]))
    assert api.get("/v1/images/tiny")["state"] == "saving"  # the next process fetches it


def test_a_port_that_there_is_not_ends_its_image_and_no_others(api: Api, tmp_path: Path) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    red = api.user_of("red", "member")
    order = {"name": "port", "kind": "disk", "url": "http://127.0.0.1:99999/x"}
    # As one that was registered before such a URL was refused.
    made = red.call("POST", "/v1/images", order | {"url": "http://127.0.0.1:1/x"}).json()
    until(api, "port", "error")
    again = {"state": ImageState.QUEUED, "source_url": order["url"]}
    api.transact(lambda tx: tx.update(Image, made["id"], again))
    register(api, url=(tmp_path / "tiny.raw").as_uri())
    until(api, "tiny", "active")
    assert "port 99999" in until(api, "port", "error")["failure"]["message"]


def test_a_defect_in_one_fetch_ends_its_image_and_no_others(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.raw").write_bytes(CONTENT)
    fetches = api.images.fetch

    async def sometimes(url: str, **how: Any) -> Any:
        if "odd" in url:
            raise ExceptionGroup("in a task", [OverflowError("odd")])
        return await fetches(url, **how)

    monkeypatch.setattr(api.images, "fetch", sometimes)
    register(api, "odd", url="file:///odd")
    assert until(api, "odd", "error")["failure"]["code"] == "defect"
    register(api, url=(tmp_path / "tiny.raw").as_uri())
    until(api, "tiny", "active")


def test_what_is_secret_of_a_url_is_sealed_where_it_is_kept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, fetched = "https://ann:hunter2@images.example/tiny.raw?sig=c0ffee", []

    async def seen(url: str, **how: Any) -> None:
        fetched.append(url)
        raise ImageInvalid("fetch it")

    monkeypatch.setattr(api.images, "fetch", seen)
    image = register(api, url=url)
    kept = api.transact(lambda tx: tx.get(Image, image["id"]))
    assert kept is not None
    assert "hunter2" not in repr(kept)
    assert "c0ffee" not in repr(kept)
    assert kept.source_url == image["source_url"] == "https://images.example/tiny.raw"
    until(api, "tiny", "error")
    assert fetched == [url]
    other = register(api, "plain", url="file:///tiny.raw")
    plain = api.transact(lambda tx: tx.get(Image, other["id"]))
    assert plain is not None and plain.source_url_sealed == ""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioner.api import image_fetches
from provisioner.api.context import ApiContext
from provisioner.api.image_fetches import ImageFetches
from provisioner.api.image_orders import fetch
from provisioner.core.errors import ImageInvalid, ImagesAway, NotFound, TransientError
from provisioner.core.model import Image, ImageState
from provisioner.protocols.store import Store
from tests.unit.api.conftest import TOKEN, Api

CONTENT = b"sector" + bytes(506)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def register(api: Api, name: str = "tiny", **changes: Any) -> Any:
    return api.post("/v1/images", {"name": name, "kind": "disk"} | changes, 201)


def send(api: Api, name: str = "tiny", content: bytes = CONTENT) -> Any:
    return api.call("PUT", f"/v1/images/{name}/content", content=content)


def test_an_image_is_registered_then_sent_then_active(api: Api) -> None:
    assert register(api)["state"] == "queued"
    found = send(api).json()
    assert (found["state"], found["sha256"], found["size_bytes"]) == ("active", SHA256, 512)
    assert api.images.path(SHA256).read_bytes() == CONTENT


def test_bytes_that_are_not_those_promised_are_refused_and_may_be_sent_again(api: Api) -> None:
    register(api, sha256=SHA256.upper())
    refused = send(api, content=bytes(512))
    assert refused.status_code == 422
    assert refused.json()["code"] == "image-invalid"
    found = api.get("/v1/images/tiny")
    assert found["state"] == "error"
    assert SHA256 in found["failure"]["message"]
    assert send(api).json()["state"] == "active"
    assert api.get("/v1/images/tiny")["failure"] is None


def test_an_active_image_is_not_overwritten(api: Api) -> None:
    register(api)
    send(api)
    assert send(api, content=bytes(512)).status_code == 409
    assert api.get("/v1/images/tiny")["sha256"] == SHA256


def test_an_upload_that_is_cut_off_leaves_the_image_to_be_sent_again(api: Api) -> None:
    register(api)

    async def half() -> AsyncIterator[bytes]:
        yield CONTENT[:256]

    answer = api.call(
        "PUT", "/v1/images/tiny/content", content=half(), headers={"Content-Length": str(len(CONTENT))}
    )
    assert answer.status_code == 422
    assert "256 of 512" in answer.json()["title"]
    assert send(api).json()["state"] == "active"


def test_a_client_that_goes_away_is_no_defect(api: Api) -> None:
    register(api)

    async def story() -> list[dict[str, Any]]:
        events = [
            {"type": "http.request", "body": CONTENT[:10], "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return events.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "PUT",
            "path": "/v1/images/tiny/content",
            "raw_path": b"/v1/images/tiny/content",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
        }
        await api.app(scope, receive, send)
        return sent

    assert api.run(story())[0]["status"] == 503
    found = api.get("/v1/images/tiny")
    assert found["state"] == "error"
    assert "the client went away" in found["failure"]["message"]


@pytest.mark.parametrize(
    ("order", "status", "field"),
    [
        ({"kind": "root"}, 422, "kernel_id"),
        ({"kind": "root", "kernel_id": "k"}, 422, "ramdisk_id"),
        ({"kind": "root", "kernel_id": "r", "ramdisk_id": "r"}, 422, "kernel_id"),
        ({"kind": "root", "kernel_id": "nothing", "ramdisk_id": "r"}, 404, ""),
        ({"kind": "root", "kernel_id": "k", "ramdisk_id": "r", "arch": "arm64"}, 422, "kernel_id"),
        ({"kind": "disk", "kernel_id": "k"}, 422, "kernel_id"),
        ({"kind": "kernel", "ramdisk_id": "r"}, 422, "ramdisk_id"),
        ({"kind": "root", "arch": "tilepro64"}, 422, "kernel_id"),
        ({"kind": "root", "arch": "tilepro64", "kernel_id": "t", "ramdisk_id": "r"}, 422, "ramdisk_id"),
        ({"kind": "disk", "sha256": "short"}, 422, "sha256"),
        ({"kind": "disk", "url": "gopher://x"}, 422, "url"),
        ({"kind": "disk", "url": "http://["}, 422, "url"),
        ({"kind": "disk", "url": "http://[x]/"}, 422, "url"),
        ({"kind": "disk", "url": "http://h:99999/"}, 422, "url"),
        ({"kind": "disk", "url": "http://h:0/"}, 422, "url"),
        ({"kind": "disk", "url": "http:///x"}, 422, "url"),
        ({"kind": "disk", "command_line": "a\nb"}, 422, "command_line"),
        ({"kind": "disk", "name": "../etc"}, 422, "name"),
    ],
)
def test_an_image_that_could_never_boot_is_refused(
    api: Api, order: dict[str, Any], status: int, field: str
) -> None:
    register(api, "k", kind="kernel")
    register(api, "r", kind="ramdisk")
    register(api, "t", kind="kernel", arch="tilepro64")
    told = api.post("/v1/images", {"name": "x"} | order, status)
    assert told.get("field", "") == field


@pytest.mark.parametrize("url", ["http://[", "http://[x]/", "http://h:99999/"])
def test_what_is_no_url_is_refused_to_a_member_too(api: Api, url: str) -> None:
    answer = api.user_of("red", "member").call(
        "POST", "/v1/images", {"name": "x", "kind": "disk", "url": url}
    )
    assert (answer.status_code, answer.json().get("field")) == (422, "url")


def test_an_image_for_tilera_boards_has_a_kernel_and_no_ramdisk(api: Api) -> None:
    register(api, "k", kind="kernel", arch="tilepro64")
    made = register(api, "tile", kind="root", arch="tilepro64", kernel_id="k")
    assert (made["arch"], made["ramdisk_id"]) == ("tilepro64", None)


def test_the_same_bytes_stay_until_no_image_has_them(api: Api) -> None:
    for name in ("one", "two"):
        register(api, name)
        send(api, name)
    assert api.call("DELETE", "/v1/images/one").status_code == 204
    assert api.images.path(SHA256).exists()
    assert api.call("DELETE", "/v1/images/two").status_code == 204
    with pytest.raises(NotFound):
        api.images.path(SHA256)


def test_an_image_is_not_deleted_while_something_needs_it(api: Api) -> None:
    api.register_images()
    assert "root" in api.call("DELETE", "/v1/images/kernel").json()["title"]
    api.post("/v1/instances", {"name": "web", "flavor": "small", "image": "root"}, 202)
    for name in ("root", "ramdisk"):
        answer = api.call("DELETE", f"/v1/images/{name}")
        assert answer.status_code == 409
        assert "web" in answer.json()["title"]
    api.call("DELETE", "/v1/instances/web")
    for name in ("root", "ramdisk", "kernel"):
        assert api.call("DELETE", f"/v1/images/{name}").status_code == 204


def test_an_image_deleted_while_its_bytes_come_leaves_none_of_them(api: Api) -> None:
    register(api)

    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT[:256]
        await api.request("DELETE", "/v1/images/tiny")
        yield CONTENT[256:]

    assert send(api, content=chunks()).status_code == 404  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        api.images.path(SHA256)


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


@pytest.mark.wire
def test_a_server_that_trickles_holds_up_its_own_tenant_alone(api: Api) -> None:
    asked: list[str] = []
    goes_on = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT)
        await writer.drain()
        if asked[-1].startswith("/slow"):
            await goes_on.wait()
        writer.close()

    async def reach(user: Any, name: str, state: str) -> None:
        while True:
            answer = await api.request("GET", f"/v1/images/{name}", headers=user.headers)
            if answer.json()["state"] == state:
                return
            await asyncio.sleep(0)

    red, blue = api.user_of("red", "member"), api.user_of("blue", "member")

    async def story() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, asyncio.timeout(20):
            place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

            async def order(user: Any, name: str) -> None:
                body = {"name": name, "kind": "disk", "url": f"{place}/{name}"}
                made = await api.request("POST", "/v1/images", json=body, headers=user.headers)
                assert made.status_code == 201, made.text

            for name in ("slow-1", "slow-2"):
                await order(red, name)
            while not asked:
                await asyncio.sleep(0)
            await order(blue, "quick")
            await reach(blue, "quick", "active")
            assert len(asked) == 2, "of one tenant, one at a time"
            goes_on.set()
            for name in ("slow-1", "slow-2"):
                await reach(red, name, "active")

    api.run(story())


def test_slow_servers_of_several_tenants_hold_up_other_tenants_for_a_while_only(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    patience, sleep = asyncio.Event(), api.context.clock.sleep

    async def trickles(url: str, **how: Any) -> None:
        asked.append(url)
        await asyncio.Event().wait()

    async def lasts(duration_s: float) -> None:
        await (patience.wait() if duration_s == image_fetches.COUNTED_S else sleep(duration_s))

    async def many(number: int) -> None:
        async with asyncio.timeout(20):
            while len(asked) < number:
                await asyncio.sleep(0)

    monkeypatch.setattr(api.images, "fetch", trickles)
    monkeypatch.setattr(api.context.clock, "sleep", lasts)
    for number in range(image_fetches.MOST + 1):
        red = api.user_of(f"red{number}", "member")
        for name in ("one", "two"):
            order = {"name": name, "kind": "disk", "url": f"http://127.0.0.1:1/{number}/{name}"}
            assert red.call("POST", "/v1/images", order).status_code == 201
    api.run(many(image_fetches.AT_ONCE))
    assert len(asked) == image_fetches.AT_ONCE
    patience.set()
    api.run(many(image_fetches.MOST))
    assert len(asked) == image_fetches.MOST
    assert all(url.endswith("/one") for url in asked), "of one tenant, one at a time"


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

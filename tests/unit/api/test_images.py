"""Images that are registered, sent and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from provisioner.core.errors import NotFound
from tests.unit.api.conftest import TOKEN, Api
from tests.unit.api.image_calls import CONTENT, SHA256, register, send


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


def test_an_upload_that_the_end_of_its_process_cuts_off_says_so(api: Api) -> None:
    register(api)

    async def story() -> None:
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield CONTENT[:256]
            begun.set()
            await asyncio.Event().wait()

        path, headers = "/v1/images/tiny/content", {"Content-Length": str(len(CONTENT))}
        sending = asyncio.create_task(api.request("PUT", path, content=endless(), headers=headers))
        await begun.wait()
        sending.cancel()
        await asyncio.wait((sending,))

    api.run(story())
    failure = api.get("/v1/images/tiny")["failure"]
    assert failure["code"] == "interrupted"
    assert failure["message"].endswith("Send them again, or delete the image and register it anew")
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
        ({"kind": "disk", "command_line": "a" * 1025}, 422, "command_line"),
        ({"kind": "disk", "arch": "armhf", "command_line": "a" * 769}, 422, "command_line"),
        ({"kind": "disk", "command_line": "a=${b}"}, 422, "command_line"),
        (
            {"kind": "root", "arch": "tilepro64", "kernel_id": "t", "command_line": "quiet"},
            422,
            "command_line",
        ),
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


@pytest.mark.parametrize(
    ("arch", "letters", "told"),
    [
        ("armhf", 769, "769 letters, and may have 768: 1023 get through to a kernel of armhf, and 255 are"),
        ("tilepro64", 1, "the kernel of a tilepro64 board has a command line of its own"),
    ],
)
def test_a_command_line_that_no_kernel_would_take_whole_is_refused_with_its_limit(
    api: Api, arch: str, letters: int, told: str
) -> None:
    order = {"name": "x", "kind": "disk", "arch": arch, "command_line": "a" * letters}
    assert told in api.post("/v1/images", order, 422)["answer"]
    for arch, most in (("armhf", 768), ("arm64", 1024), ("x86_64", 1024), ("tilepro64", 0)):
        api.post("/v1/images", order | {"name": arch, "arch": arch, "command_line": "a" * most}, 201)


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


def test_a_kernel_whose_bytes_are_another_architectures_is_told_both(api: Api) -> None:
    api.post("/v1/images", {"name": "k64", "kind": "kernel", "arch": "arm64"}, 201)
    answer = api.call("PUT", "/v1/images/k64/content", content=bytes(0x202) + b"HdrS" + bytes(4096))
    assert answer.status_code == 422
    assert "it is a kernel for x86_64, and was registered for arm64" in answer.json()["title"]
    assert api.get("/v1/images/k64")["state"] == "error"

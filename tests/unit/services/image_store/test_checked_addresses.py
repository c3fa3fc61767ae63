"""What members' URLs may lead to, on servers of loopback that stand for what is inside."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import InvalidInput, PermanentError, TransientError
from provisioner.core.model import ImageKind
from provisioner.protocols.image import StoredImage
from provisioner.services.image_store import ImageStore
from tests.unit.services.image_store.content import MIB, disk, files

pytestmark = pytest.mark.wire

MIRROR, INSIDE = "127.0.0.2", "127.0.0.3"


def only_mirror(address: str) -> bool:
    return address == MIRROR


class Place:
    """A mirror, which members may fetch from, and something inside, which they may not, at the same port."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.port = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(writer.get_extra_info("sockname")[0])
        way = request.split(" ")[1]
        if way.startswith("/to/"):
            to, _, port = way.removeprefix("/to/").partition(":")
            there = f"http://{to}:{port or self.port}/image"
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + disk())
        await writer.drain()
        writer.close()

    def fetch(self, store: ImageStore, path: str, host: str = MIRROR, **options: Any) -> StoredImage:
        async def story() -> StoredImage:
            mirror = await asyncio.start_server(self._answer, MIRROR, 0)
            self.port = mirror.sockets[0].getsockname()[1]
            inside = await asyncio.start_server(self._answer, INSIDE, self.port)
            async with mirror, inside:
                given: dict[str, Any] = {"format": "raw", "kind": ImageKind.DISK, "expected_sha256": None}
                url = f"http://{host}:{self.port}{path}"
                return await store.fetch(url, max_bytes=100 * MIB, allows=only_mirror, **given, **options)

        return asyncio.run(story())


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.mark.parametrize("path", ["/image", f"/to/{MIRROR}"])
def test_an_image_comes_from_an_address_that_is_allowed(store: ImageStore, place: Place, path: str) -> None:
    assert store.path(place.fetch(store, path).sha256).read_bytes() == disk()
    assert set(place.asked) == {MIRROR}


def test_a_redirect_to_a_port_that_there_is_not_is_refused(store: ImageStore, place: Place) -> None:
    with pytest.raises(TransientError, match="port 99999"):
        place.fetch(store, f"/to/{MIRROR}:99999")


def test_an_address_that_is_not_allowed_is_never_asked(store: ImageStore, root: Path, place: Place) -> None:
    with pytest.raises(PermanentError, match=f"from {INSIDE}: it has no address that members'") as refused:
        place.fetch(store, "/image", INSIDE)
    assert refused.value.code == "url-forbidden"
    assert place.asked == [] and files(root) == []


@pytest.mark.parametrize("written", [INSIDE, "2130706435", "0x7f.0.0.3", "[::ffff:127.0.0.3]"])
def test_a_redirect_leads_no_further_than_the_url_itself_may(
    store: ImageStore, place: Place, written: str
) -> None:
    """However the address is written: what the resolver makes of it is what is checked."""
    with pytest.raises((PermanentError, TransientError)) as refused:
        place.fetch(store, f"/to/{written}")
    assert place.asked == [MIRROR], refused.value


def test_what_is_connected_to_is_what_was_checked(
    store: ImageStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that tells one address to be checked and another to be connected to is asked once."""
    answers = [MIRROR, INSIDE]
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def rebinding(host: str, port: int, *rest: Any, **options: Any) -> Any:
        if host != "images.example":
            return resolve(host, port, *rest, **options)
        asked.append(host)
        return resolve(answers[len(asked) - 1], port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    place.fetch(store, "/image", "images.example")
    assert asked == ["images.example"] and place.asked == [MIRROR]


def test_of_several_addresses_those_that_are_allowed_are_tried(
    store: ImageStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def several(host: str, port: int, *rest: Any, **options: Any) -> Any:
        if host != "images.example":
            return resolve(host, port, *rest, **options)
        return [found for one in (INSIDE, MIRROR) for found in resolve(one, port, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    place.fetch(store, "/image", "images.example")
    assert place.asked == [MIRROR]


def test_no_proxy_is_asked_to_go_where_we_dont(
    store: ImageStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{INSIDE}:1")
    place.fetch(store, "/image")
    assert place.asked == [MIRROR]


def test_a_members_url_reads_no_file_of_the_provisioners(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(disk())
    with pytest.raises(InvalidInput):
        asyncio.run(
            store.fetch(
                f"file://{tmp_path}/secret",
                format="raw",
                kind=ImageKind.DISK,
                expected_sha256=None,
                max_bytes=MIB,
                allows=only_mirror,
            )
        )


def test_a_name_that_leads_nowhere_is_told_as_such(
    store: ImageStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_knows(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
    with pytest.raises(TransientError, match=r"nowhere\.example: .* not known"):
        asyncio.run(
            store.fetch(
                "http://nowhere.example/image",
                format="raw",
                kind=ImageKind.DISK,
                expected_sha256=None,
                max_bytes=MIB,
                allows=only_mirror,
            )
        )

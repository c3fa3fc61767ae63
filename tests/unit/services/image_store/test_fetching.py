from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import ImageInvalid, InvalidInput, PermanentError, TransientError
from provisioner.core.model import ImageKind
from provisioner.protocols.image import StoredImage
from provisioner.services import image_source
from provisioner.services.image_source import open_source
from provisioner.services.image_store import ImageStore
from provisioner.services.least_rate import JUDGED_S, LEAST_BYTES_PER_S, LeastRate
from tests.unit.services.image_store.content import MIB, disk, files


async def fetch(store: ImageStore, url: str, **options: Any) -> StoredImage:
    given: dict[str, Any] = {"format": "raw", "kind": ImageKind.DISK, "expected_sha256": None}
    return await store.fetch(url, **{**given, "max_bytes": 100 * MIB, **options})


def fetch_from(
    store: ImageStore, head: str, body: bytes, path: str = "/image", **options: Any
) -> StoredImage:
    """Fetches from a server that answers every request with this and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"/moved" in request:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /image\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    async def story() -> StoredImage:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await fetch(store, f"http://user:hidden@127.0.0.1:{port}{path}", **options)

    return asyncio.run(story())


@pytest.mark.wire
@pytest.mark.parametrize("path", ["/image", "/moved"])
@pytest.mark.parametrize("length", [True, False])
def test_an_image_is_fetched_by_http(store: ImageStore, path: str, length: bool) -> None:
    raw = disk()
    head = "HTTP/1.1 200 OK" + (f"\r\nContent-Length: {len(raw)}" if length else "")
    stored = fetch_from(store, head, raw, path)
    assert store.path(stored.sha256).read_bytes() == raw


@pytest.mark.wire
@pytest.mark.parametrize(
    ("head", "body", "kind", "complaint"),
    [
        ("HTTP/1.1 404 Not Found", b"", PermanentError, "HTTP status 404"),
        ("HTTP/1.1 503 Busy", b"", TransientError, "HTTP status 503"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2000", b"x" * 512, TransientError, "cut off after 512 of 2000"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 999999999", b"x", ImageInvalid, "larger than"),
        ("HTTP/1.1 200 OK", bytes(3 * MIB), ImageInvalid, "larger than"),
        ("SSH-2.0-OpenSSH_9.2", b"", TransientError, "fetch the image"),
        (
            "HTTP/1.1 302 Found\r\nLocation: /image\r\nContent-Length: 0",
            b"",
            PermanentError,
            r"redirects\. Look where its redirects lead",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0",
            b"",
            PermanentError,
            r"file://'\. Look where its redirects lead",
        ),
    ],
)
def test_a_fetch_that_fails_says_why_and_leaves_nothing(
    store: ImageStore, root: Path, head: str, body: bytes, kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint) as raised:
        fetch_from(store, head, body, "/image?signature=hidden", max_bytes=2 * MIB)
    assert "hidden" not in str(raised.value)
    assert getattr(raised.value, "advice", "")
    assert files(root) == []


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_there_is_not_is_told(store: ImageStore, port: int) -> None:
    with pytest.raises(TransientError, match=f"port {port} isn't"):
        asyncio.run(fetch(store, f"http://127.0.0.1:{port}/x"))


@pytest.mark.wire
def test_a_server_that_is_not_there_is_transient(store: ImageStore) -> None:
    with pytest.raises(TransientError, match=r"fetch the image http://127.0.0.1:9/x"):
        asyncio.run(fetch(store, "http://127.0.0.1:9/x"))


def test_an_image_is_fetched_from_a_file(store: ImageStore, tmp_path: Path) -> None:
    raw = disk()
    (tmp_path / "my image").write_bytes(raw)
    stored = asyncio.run(fetch(store, f"file://{tmp_path}/my%20image"))
    assert store.path(stored.sha256).read_bytes() == raw


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("file:///nowhere", PermanentError),
        ("file:///dev/zero", PermanentError),
        ("ftp://host/x", InvalidInput),
        ("image.raw", InvalidInput),
        ("http://host:port/x", InvalidInput),
        ("http:///x", InvalidInput),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(store: ImageStore, url: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        asyncio.run(fetch(store, url))


@asynccontextmanager
async def serving(said: bytes) -> AsyncIterator[str]:
    """The URL of a server that says this, and neither goes on nor hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await ended.wait()
        writer.close()

    ended = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        try:
            yield f"http://user:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        finally:
            ended.set()


@pytest.mark.wire
def test_a_server_that_trickles_is_given_up() -> None:
    async def story() -> None:
        minutes = (JUDGED_S * n for n in count())
        async with (
            serving(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx") as url,
            asyncio.timeout(20),
            open_source(url, monotonic_s=lambda: next(minutes)) as source,
        ):
            async for _ in source.chunks:
                pass

    with pytest.raises(TransientError, match="1 bytes came in 60 s, 65536 a second are the least") as raised:
        asyncio.run(story())
    assert "hidden" not in raised.value.message and raised.value.advice


@pytest.mark.wire
def test_a_server_that_never_comes_to_the_end_of_its_head_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_source, "ANSWER_TIMEOUT_S", 0.01)

    async def story() -> None:
        async with serving(b"HTTP/1.1 200 OK\r\nX-") as url, asyncio.timeout(20), open_source(url):
            pass

    with pytest.raises(TransientError, match="the head of the answer wasn't whole") as raised:
        asyncio.run(story())
    assert "hidden" not in raised.value.message


def test_a_rate_is_judged_once_a_minute_by_the_time_that_was_waited() -> None:
    rate, enough = LeastRate(), int(LEAST_BYTES_PER_S * JUDGED_S)
    assert rate.came(1, JUDGED_S - 1) == ""
    assert rate.came(enough, 1) == ""
    assert rate.came(2 * enough, 0.1) == ""  # without a wait for it: who receives it took its time
    assert rate.came(1, JUDGED_S) == ""
    assert rate.came(enough - 1, JUDGED_S).startswith(f"{enough - 1} bytes came in 60 s")

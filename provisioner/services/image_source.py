"""The bytes of an image, from where a URL says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from urllib.parse import unquote

import httpx

from provisioner.core.errors import InvalidInput, PermanentError, ProvisionerError, TransientError
from provisioner.core.shown_url import shown_url
from provisioner.services.checked_transport import CheckedTransport
from provisioner.services.least_rate import LeastRate

CONNECT_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 60.0  # without a byte
ANSWER_TIMEOUT_S = 120.0  # until the first byte may come, redirects included
PIECE_BYTES = 4 * 2**20  # of a file

_BY_OTHER_MEANS = "Fetch it by other means and send its bytes, or name a server that is faster"


@dataclass(frozen=True, slots=True)
class Source:
    """size_bytes: as announced; None when it wasn't."""

    chunks: AsyncIterator[bytes]
    size_bytes: int | None


@asynccontextmanager
async def open_source(
    url: str,
    allows: Callable[[str], bool] | None = None,
    *,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Source, None]:
    """The bytes behind an http, https or file URL, while entered. allows: whether an address may be connected
    to, wherever the URL leads; None: any, and files of this system. monotonic_s: by which it is told whether
    a server sends fast enough.

    Raises InvalidInput (another kind of URL), PermanentError (it isn't there, or leads elsewhere),
    TransientError (the server doesn't answer, stopped in the middle, or sends too slowly; raised from
    `chunks`, too).
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        # Not the error's own words: they may repeat a password.
        raise InvalidInput("fetch the image", field="url", answer="it is no URL") from error
    if parsed.scheme == "file" and allows is None:
        path = Path(unquote(parsed.path))
        size = _size_of_file(path)
        async with aclosing(_file_chunks(path)) as chunks:
            yield Source(chunks, size)
    elif parsed.scheme in ("http", "https") and parsed.host:
        async with _response(parsed, allows, monotonic_s) as source:
            yield source
    else:
        raise InvalidInput(
            "fetch the image",
            field="url",
            answer=f"scheme {parsed.scheme!r}, host {parsed.host!r}",
            advice="Use http://host/…, https://host/… or file:///…",
        )


def _size_of_file(path: Path) -> int:
    try:
        if not path.is_file():  # a pipe or a device has no end
            raise FileNotFoundError(ENOENT, "No such file")
        return path.stat().st_size
    except OSError as error:
        raise PermanentError(
            f"read the image {path}",
            answer=error.strerror or str(error),
            advice="The path is looked up on the provisioner's machine",
        ) from error


async def _file_chunks(path: Path) -> AsyncGenerator[bytes, None]:
    try:
        with path.open("rb", buffering=0) as file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece
    except OSError as error:
        raise PermanentError(f"read the image {path}", answer=error.strerror or str(error)) from error


@asynccontextmanager
async def _response(
    url: httpx.URL, allows: Callable[[str], bool] | None, monotonic_s: Callable[[], float]
) -> AsyncGenerator[Source, None]:
    timeout = httpx.Timeout(STALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                httpx.AsyncClient(
                    timeout=timeout,
                    follow_redirects=True,
                    max_redirects=5,
                    event_hooks={"request": [_check_port]},
                    transport=None if allows is None else CheckedTransport(allows),
                )
            )
            # The bytes that the checksum is of, not a packed form of them.
            answer = client.stream("GET", url, headers={"Accept-Encoding": "identity"})
            response = await _within(ANSWER_TIMEOUT_S, url, stack.enter_async_context(answer))
            if response.status_code != 200:
                raise _refusal(url, response.status_code)
            length = response.headers.get("Content-Length", "")
            async with aclosing(_body(url, response, monotonic_s)) as chunks:
                yield Source(chunks, int(length) if length.isdecimal() else None)
    except httpx.HTTPError as error:
        raise _trouble(url, error) from error


async def _within(timeout_s: float, url: httpx.URL, answer: Awaitable[httpx.Response]) -> httpx.Response:
    """Each piece of its head may take its time, and there may be many."""
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError as error:
        raise TransientError(
            f"fetch the image {shown_url(str(url))}",
            answer=f"the head of the answer wasn't whole after {timeout_s:.0f} s",
            advice=_BY_OTHER_MEANS,
        ) from error


async def _check_port(request: httpx.Request) -> None:
    """Of each request and each redirect: beyond what sockets have, connecting raises no error of HTTP."""
    port = request.url.port
    if port is not None and not 1 <= port <= 65535:
        raise httpx.ConnectError(f"port {port} isn't one of 1 to 65535", request=request)


async def _body(
    url: httpx.URL, response: httpx.Response, monotonic_s: Callable[[], float]
) -> AsyncGenerator[bytes, None]:
    """As it comes: pieces of a size would be waited for, however little comes."""
    rate = LeastRate()
    try:
        asked_s = monotonic_s()
        async for piece in response.aiter_raw():
            if too_slow := rate.came(len(piece), monotonic_s() - asked_s):
                raise TransientError(
                    f"fetch the image {shown_url(str(url))}", answer=too_slow, advice=_BY_OTHER_MEANS
                )
            yield piece
            asked_s = monotonic_s()
    except httpx.HTTPError as error:
        raise _trouble(url, error, response) from error


def _refusal(url: httpx.URL, status: int) -> ProvisionerError:
    kind = TransientError if status >= 500 or status in (408, 429) else PermanentError
    later = "Delete it and register it again later"
    advice = later if kind is TransientError else "Look at the URL, and whether it needs a login"
    return kind(f"fetch the image {shown_url(str(url))}", answer=f"HTTP status {status}", advice=advice)


def _trouble(
    url: httpx.URL, error: httpx.HTTPError, response: httpx.Response | None = None
) -> ProvisionerError:
    tried = f"fetch the image {shown_url(str(url))}"
    answer, advice = str(error).rstrip(".") or type(error).__name__, "Is the server reachable from here?"
    if isinstance(error, httpx.TooManyRedirects | httpx.UnsupportedProtocol):
        return PermanentError(tried, answer=answer, advice="Look where its redirects lead")
    if isinstance(error, httpx.ConnectTimeout):
        answer = f"no connection within {CONNECT_TIMEOUT_S:.0f} s"
    elif isinstance(error, httpx.TimeoutException):
        answer = f"nothing came for {STALL_TIMEOUT_S:.0f} s"
    if response is not None:
        announced = response.headers.get("Content-Length", "an unknown number of")
        answer = f"cut off after {response.num_bytes_downloaded} of {announced} bytes ({answer})"
        advice = "Delete it and register it again, or send its bytes from a file"
    return TransientError(tried, answer=answer, advice=advice)

"""One HTTP/1.1 connection from a node: every wait and every size bounded, files sent by the kernel.

h11 does the protocol. Not an ASGI server: those copy each byte of a 60 MB ramdisk through Python,
and bound neither how slowly a request may come nor how slowly an answer may be taken.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import h11

MAX_HEADER_BYTES = 8 * 1024
MAX_BODY_BYTES = 64 * 1024
REQUEST_TIMEOUT_S = 10.0  # for a whole request to come
IDLE_TIMEOUT_S = 30.0  # between two requests of one connection
STALL_TIMEOUT_S = 30.0  # for SEND_BYTES to be taken
SEND_BYTES = 2**20  # handed to the kernel at once; also how exactly is known how much went out

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_REASONS = {
    200: b"OK",
    204: b"No Content",
    206: b"Partial Content",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    416: b"Range Not Satisfiable",
    429: b"Too Many Requests",
    503: b"Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str  # without a query
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    peer: str

    def json_object(self) -> Mapping[str, object]:
        """The body, or nothing when it isn't a JSON object."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of an answer with a file: bytes of it that our kernel took."""

    first_byte: int
    wanted_bytes: int
    sent_bytes: int
    size_bytes: int  # of the whole file

    @property
    def cut(self) -> bool:
        return self.sent_bytes < self.wanted_bytes

    @property
    def reached_the_end(self) -> bool:
        return not self.cut and self.first_byte + self.wanted_bytes == self.size_bytes


class Closed(Exception):
    """The peer is gone, too slow, or doesn't speak HTTP: nothing more can be said to it."""


class TooLarge(Exception):
    """The request's body is longer than MAX_BODY_BYTES."""


class HttpConnection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self.peer = str(writer.get_extra_info("peername")[0])

    async def next_request(self, *, first: bool) -> Request | None:
        """None when the peer has no more. Raises Closed and TooLarge."""
        if not first:
            if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
                return None
            self._protocol.start_next_cycle()
        try:
            if not first and not self._protocol.trailing_data[0]:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    self._protocol.receive_data(await self._reader.read(65536))
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await self._request()
        except (TimeoutError, OSError, h11.RemoteProtocolError) as error:
            raise Closed from error

    async def _request(self) -> Request | None:
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        fields = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        if int(fields.get("content-length", "0")) > MAX_BODY_BYTES:  # h11 has seen to it that it is a number
            raise TooLarge
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise TooLarge
        return Request(
            head.method.decode("ascii"),
            head.target.decode("ascii", "replace").partition("?")[0],
            fields,
            bytes(body),
            self.peer,
        )

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            if self._protocol.they_are_waiting_for_100_continue:
                await self._say(h11.InformationalResponse(status_code=100, headers=[]))
            self._protocol.receive_data(await self._reader.read(65536))
        return event  # type: ignore[return-value]  # NEED_DATA is excluded above

    async def answer(self, status: int, text: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        """A short answer. Raises Closed."""
        data = text.encode()
        await self._say(_head(status, len(data), headers or {}), *_content(data))

    async def answer_text(self, request: Request, text: str) -> Sent:
        """A small file that is made as it is asked for. Raises Closed."""
        data = text.encode()
        head = _head(200, len(data), {"content-type": "text/plain; charset=utf-8"})
        await self._say(head, *_content(b"" if request.method == "HEAD" else data))
        return Sent(0, len(data), len(data), len(data))

    async def answer_file(self, request: Request, path: Path) -> Sent:
        """A file, or the part of it that the request names. What was sent is returned even when the
        peer went away in the middle; then the connection is dead. Raises Closed, OSError (no such file)."""
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            wanted = _range(request.headers.get("range", ""), size)
            if wanted is None:
                await self.answer(416, headers={"content-range": f"bytes */{size}"})
                return Sent(0, 0, 0, size)
            first, count = wanted
            headers = {"content-type": "application/octet-stream", "accept-ranges": "bytes"}
            if count != size:
                headers["content-range"] = f"bytes {first}-{first + count - 1}/{size}"
            head = _head(206 if count != size else 200, count, headers)
            if request.method == "HEAD":
                await self._say(head, *_content(b""))
                return Sent(first, count, count, size)
            await self._say(head)
            file.seek(first)
            sent = await self._send_file(file, first, count)
        return Sent(first, count, sent, size)

    async def _send_file(self, file: FileIO, first: int, count: int) -> int:
        loop = asyncio.get_running_loop()
        sent = 0
        try:
            while sent < count:
                async with asyncio.timeout(STALL_TIMEOUT_S):
                    piece = await loop.sendfile(
                        self._writer.transport, file, first + sent, min(SEND_BYTES, count - sent)
                    )
                if not piece:  # the file became shorter
                    break
                sent += piece
        except (TimeoutError, OSError):
            sent = max(sent, file.tell() - first)  # asyncio leaves the file where a broken transfer came to
        # What the kernel sent went past h11, which must not add anything to it.
        if sent == count:
            self._protocol.send_with_data_passthrough(h11.Data(data=_Length(count)))  # type: ignore[arg-type]
            self._protocol.send(h11.EndOfMessage())
        else:
            self.abort()
        return sent

    async def _say(self, *events: h11.Event) -> None:
        try:
            self._writer.write(b"".join(self._protocol.send(event) or b"" for event in events))
            async with asyncio.timeout(STALL_TIMEOUT_S):
                await self._writer.drain()
        except (TimeoutError, OSError, h11.LocalProtocolError) as error:
            raise Closed from error

    def bound_hops(self, hops: int) -> None:
        """How far what is sent from now on may go: over `hops` - 1 routers."""
        self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)

    def abort(self) -> None:
        """Ends the connection at once, whatever waits to be sent."""
        self._writer.transport.abort()


def _head(status: int, length: int, headers: Mapping[str, str]) -> h11.Response:
    fields = [("content-length", str(length)), *headers.items()]
    return h11.Response(status_code=status, reason=_REASONS[status], headers=fields)


def _content(data: bytes) -> tuple[h11.Event, ...]:
    return (h11.Data(data=data), h11.EndOfMessage()) if data else (h11.EndOfMessage(),)


class _Length:
    """Stands for data of a known length that h11 never sees: it only counts it (h11's documentation,
    "Support for sendfile()")."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


def _range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and count that a Range header (RFC 9110 §14.2) wants; all of it when there is none
    that we serve; None when it can't be satisfied."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return 0, size
    if not match[1]:  # the last so many bytes
        count = min(int(match[2]), size)
        return (size - count, count) if count else None
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return 0, size  # malformed, to be ignored
    return (first, last - first + 1) if first < size else None

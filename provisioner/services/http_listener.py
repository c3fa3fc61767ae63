"""Listens for nodes by HTTP: how many connections there may be, of all and of one, and how they end."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from provisioner.core.errors import PermanentError
from provisioner.services import descriptors
from provisioner.services.http_connection import Closed, HttpConnection, Request, TooLarge

MAX_CONNECTIONS = 2048
DESCRIPTORS_PER_CONNECTION = 4
"""One is the connection's, one the file's that it is sent. The others are left to the rest of the process."""

PUT_OFF_PART = 4
"""One more for each so many of them, whose requests are heard and put off."""

MAX_CONNECTIONS_PER_PEER = 16
RETRY_AFTER_S = 1  # iPXE keeps to it
BACKLOG = 512
STOP_TIMEOUT_S = 5.0

Serve = Callable[[HttpConnection, Request], Awaitable[None]]
"""Answers one request. Raises Closed."""


class HttpListener:
    """device: takes only what comes in by this interface; empty: by any."""

    def __init__(self, address: str, port: int, serve: Serve, *, advice: str, device: str = "") -> None:
        """port: 0 = any that is free. advice: what to do when it can't listen there."""
        self._address = address
        self._port = port
        self._serve = serve
        self._advice = advice
        self._device = device
        self._peers: Counter[str] = Counter()
        self._tasks: dict[asyncio.Task[None], str] = {}  # with the peer of its connection
        self._server: asyncio.Server | None = None
        self._most = 0  # connections

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises PermanentError."""
        self._most = min(MAX_CONNECTIONS, descriptors.limit() // DESCRIPTORS_PER_CONNECTION)
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._device:
                name = self._device.encode()
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            listening.bind((self._address, self._port))
            self._server = await asyncio.start_server(self._accept, sock=listening, backlog=BACKLOG)
        except OSError as error:
            listening.close()
            where = f"{self._address}:{self._port}" + (f" on {self._device}" if self._device else "")
            raise PermanentError(
                f"listen for nodes at {where}",
                answer=error.strerror or str(error),
                advice=self._advice,
            ) from error

    async def stop(self) -> None:
        """Ends what is under way too."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S)

    def hang_up(self, peer: str) -> None:
        """Whatever it is being sent."""
        for task, asks in self._tasks.items():
            if asks == peer:
                task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = HttpConnection(reader, writer)
        peer = self._tasks[task] = connection.peer
        self._peers[peer] += 1
        try:
            if self._peers[peer] <= MAX_CONNECTIONS_PER_PEER:
                if len(self._tasks) <= self._most:
                    await self._converse(connection, self._serve)
                elif len(self._tasks) <= self._most + self._most // PUT_OFF_PART:
                    await self._converse(connection, _put_off)
        except asyncio.CancelledError:
            connection.abort()
        finally:
            self._tasks.pop(task, None)
            self._peers[peer] -= 1
            self._peers += Counter()  # forgets peers without connections
            writer.close()

    async def _converse(self, connection: HttpConnection, serve: Serve) -> None:
        first = True
        try:
            while request := await connection.next_request(first=first):
                await serve(connection, request)
                first = False
        except TooLarge:
            with suppress(Closed):
                await connection.answer(413, headers={"connection": "close"})
        except Closed:
            connection.abort()


async def _put_off(connection: HttpConnection, request: Request) -> None:
    """A connection that is closed in silence ends a node's boot."""
    headers = {"retry-after": str(RETRY_AFTER_S), "connection": "close"}
    await connection.answer(503, headers=headers)

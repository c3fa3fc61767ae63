"""Servers at the SSH port of a node's end, sound ones and others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.wire.services.segment import NODE, Segment

SSH_PORT = 22
GREETING = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(made: Segment, serve: Serve) -> AsyncIterator[None]:
    """Each connection is closed when `serve` returns, or at the end."""
    connections: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await serve(reader, writer)
        finally:
            connections.discard(task)
            writer.close()

    with made.at_node():
        opened = socket.create_server((NODE, SSH_PORT))
    server = await asyncio.start_server(served, sock=opened)
    try:
        yield
    finally:
        server.close()
        for connection in tuple(connections):
            connection.cancel()


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As sshd does: its line at once, then it reads the client's."""
    writer.write(GREETING)
    await reader.readline()


async def greets_when_greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if (await reader.readline()).startswith(b"SSH-2.0-"):
        writer.write(GREETING)
        await reader.read()


async def greets_after_other_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 4253 §4.2 allows that."""
    writer.write(b"This machine is somebody's.\r\nMind the step.\r\n")
    await greets(reader, writer)


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


async def says_a_line_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


async def says_lines_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"wait\r\n")
        await writer.drain()

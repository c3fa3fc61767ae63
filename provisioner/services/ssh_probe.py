"""Looks for an SSH server by the line it greets with."""

from __future__ import annotations

import asyncio

from provisioner.core.readable import readable

BANNER_DEADLINE_S = 3.0
MAX_LINE_BYTES = 255  # RFC 4253 §4.2
MAX_LINES = 20  # a server may send other lines before its identification


class TcpSshProbe:
    """`protocols.probe.SshProbe` over TCP."""

    def __init__(self, port: int = 22) -> None:
        self._port = port

    async def banner(self, address: str) -> str | None:
        try:
            async with asyncio.timeout(BANNER_DEADLINE_S):
                return await self._ask(address)
        except (OSError, TimeoutError, ValueError):
            return None

    async def _ask(self, address: str) -> str | None:
        reader, writer = await asyncio.open_connection(address, self._port, limit=MAX_LINE_BYTES)
        try:
            # Some servers hold their banner back until the client has spoken.
            writer.write(b"SSH-2.0-provisioner_proof_of_life\r\n")
            for _ in range(MAX_LINES):
                line = await reader.readline()
                if line.startswith(b"SSH-"):
                    return readable(line.decode("ascii", "replace")).strip()
                if not line:
                    return None
            return None
        finally:
            writer.close()

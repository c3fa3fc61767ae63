"""Consoles that say what a test lets them, recorded as in production."""

from __future__ import annotations

import asyncio
from pathlib import Path

from provisioner.core.model import Node
from provisioner.protocols.power import Console, ConsoleSink
from provisioner.services.console_log import ConsoleLog

DEADLINE_S = 20.0


class Spoken:
    """`protocols.power.Console`: says one thing whenever somebody begins to listen."""

    def __init__(self) -> None:
        self.said = ""
        self._heard = asyncio.Event()

    async def capture(self, sink: ConsoleSink) -> None:
        sink(self.said.encode())
        self._heard.set()
        await asyncio.Event().wait()

    async def of(self, node: Node) -> Console | None:
        return self

    async def recorded(self, book: ConsoleLog, node: Node) -> None:
        self._heard.clear()
        async with asyncio.timeout(DEADLINE_S), book.recording(node):
            await self._heard.wait()


def says(folder: Path) -> tuple[ConsoleLog, Spoken]:
    spoken = Spoken()
    return ConsoleLog(folder, spoken.of), spoken

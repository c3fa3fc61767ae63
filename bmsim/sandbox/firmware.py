"""Firmware that gives up is made to try again, as that of real machines does.

SeaBIOS does by itself (`rebootTimeout`). OVMF, when nothing in its boot order boots, starts its shell, and
that waits for a person for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

POLL_S = 1.0

NOBODY_CAME = b" in 1 seconds to skip \x1b[1m\x1b[33m\x1b[40mstartup.nsh"
"""The end of the shell's countdown (OVMF 2022.11); who presses ESC before it keeps the shell."""


async def keep_trying(log: Path, restart: Callable[[], None], poll_s: float = POLL_S) -> None:
    """Calls `restart` each time that the console log says that the firmware has given up."""
    position, seen = 0, b""
    while True:
        await asyncio.sleep(poll_s)
        news = await asyncio.to_thread(_read_from, log, position)
        position += len(news)
        seen += news
        if NOBODY_CAME in seen:
            seen = b""
            await asyncio.to_thread(restart)
        # As much as may be the beginning of what is looked for.
        seen = seen[-len(NOBODY_CAME) :]


def _read_from(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read()
    except FileNotFoundError:
        return b""

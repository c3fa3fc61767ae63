"""Processes that a rack keeps running: told what to do on standard input, started again when they end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESTART_S = 1.0
READY_DEADLINE_S = 30.0


class DidNotStart(Exception):
    """The message names the process and has its words."""


async def keep(
    module: str,
    configuration: Mapping[str, Any],
    *,
    what: str,
    log: Path,
    ready: asyncio.Event,
    say: Callable[[str], None],
    told: Callable[[str], None] = lambda line: None,
) -> None:
    """Runs `python -m module` until cancelled, and ends it then. ready: set when it says "ready" on standard
    output; told: what else it says there, line by line."""
    while True:
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        # By standard input: a command line is for everybody to read.
        process.stdin.write(json.dumps(configuration).encode())
        process.stdin.close()
        try:
            while line := await process.stdout.readline():
                if line.strip() == b"ready":
                    ready.set()
                else:
                    told(line.decode(errors="replace").strip())
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        say(f"{what} ended ({code}) and is started again")
        await asyncio.sleep(RESTART_S)


async def until_ready(ready: asyncio.Event, *, what: str, log: Path) -> None:
    """Raises DidNotStart."""
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            await ready.wait()
    except TimeoutError as error:
        said = (await asyncio.to_thread(log.read_text, errors="replace"))[-1000:]
        raise DidNotStart(f"{what} did not start: {said}") from error

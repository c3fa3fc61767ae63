"""Commands to Tilera boards, by their vendor's program: `tile-monitor --resume --net ADDRESS …`.

--resume: the board has booted by itself. `--run - COMMAND - --wait` runs one command and waits for its end;
what stands after `--` is run last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from provisioner.core.errors import DeviceUnreachable, HostLacks
from provisioner.core.readable import shortened
from provisioner.protocols.children import Children, ChildTimedOut
from provisioner.protocols.power import ConsoleSink

CONSOLE_POLL_S = 2.0

OFF_SILENCES = 2
"""In a row: one may be the monitor's own."""

OVERLAP_CHARS = 256
"""So much of a log's beginning is looked for in what was read last, to find what is new: a kernel keeps its
log's end alone."""

MOST_PLACES = 64
"""Where that is looked for: a log is an instance's own words, which may be alike without end."""

_CUT = "\N{REPLACEMENT CHARACTER}"
"""What is left of a letter in whose midst the log was cut."""


class TileMonitor:
    """`protocols.board.BoardMonitor`."""

    def __init__(self, children: Children, program: Path, *, timeout_s: float) -> None:
        self.longest_command_s = timeout_s
        self._children = children
        self._program = program

    async def run(self, address: str, commands: Sequence[Sequence[str]]) -> str:
        words = [word for command in commands for word in ("--run", "-", *command, "-", "--wait")]
        told = shortened("; ".join(" ".join(command) for command in commands))
        return await self._call(f"run {told}", address, (*words, "--quit"))

    def console(self, address: str) -> TileConsole:
        return TileConsole(self, address)

    async def dmesg(self, address: str) -> str:
        """All that the board's kernel remembers of its log. Raises as `run`."""
        return await self._call("read the console", address, ("--", "dmesg"))

    async def _call(self, tried: str, address: str, words: Sequence[str]) -> str:
        argv = (str(self._program), "--resume", "--net", address, *words)
        device = f"board {address} by {self._program.name}"
        try:
            result = await self._children.run(argv, timeout_s=self.longest_command_s)
        except ChildTimedOut as error:
            raise DeviceUnreachable(
                tried,
                device=device,
                answer=f"not done in {self.longest_command_s:g} s",
                advice="Run the program by hand; tilera.command_timeout_s is what it may take",
            ) from error
        except HostLacks as error:
            raise HostLacks(
                tried,
                device=device,
                answer=f"{self._program} isn't there, or isn't executable",
                advice="Correct tilera.monitor, or put the vendor's program there",
            ) from error
        if result.code:
            raise DeviceUnreachable(
                tried, device=device, answer=result.last_words(), advice="Run the program by hand"
            )
        return result.stdout


class TileConsole:
    """`protocols.power.Console`: the kernel's log, read again and again."""

    def __init__(self, monitor: TileMonitor, address: str) -> None:
        self._monitor = monitor
        self._address = address

    async def capture(self, sink: ConsoleSink) -> None:
        known, silences = "", 0
        while True:
            try:
                text = await self._monitor.dmesg(self._address)
            except DeviceUnreachable:
                silences += 1  # it boots, or is off
            else:
                if silences >= OFF_SILENCES:
                    known = ""  # another boot may begin with all the words of the last one
                if fresh := news(known, text):
                    sink(fresh.encode())
                known, silences = text, 0
            await asyncio.sleep(CONSOLE_POLL_S)


def news(known: str, text: str) -> str:
    """What of a log wasn't read before. All of one that doesn't go on with it: the board has booted again.

    One that goes on may have lost its beginning, and nothing else: two boots may end with the same words.
    """
    if text.startswith(known):
        return text[len(known) :]
    kept = text.lstrip(_CUT)
    begin, place = kept[:OVERLAP_CHARS], max(0, len(known) - len(kept)) - 1
    for _ in range(MOST_PLACES if begin else 0):
        if (place := known.find(begin, place + 1)) < 0:
            break
        if kept.startswith(known[place:]):
            return kept[len(known) - place :]
    return text

"""One tilepro64 board under power: `python -m bmsim.faces.tile_process`, its configuration on standard input.

It runs in network, mount and process namespaces of its own. When its power goes, they go, with all that is in
them. It says `ready` when its power is on, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmsim.audit import AuditLog
from bmsim.devices.elf import HEAD_BYTES
from bmsim.devices.tile_board import AddressBy, TileBoard, TileTiming
from bmsim.faces.tile_board import TileFace
from bmsim.faces.tile_sshd import SOCKET
from bmsim.faults.fault_file import FaultFile
from bmsim.tile_monitor import PORT

MAX_LINE_BYTES = 65536


def main() -> int:
    given = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory(prefix="tile-", dir="/run") as folder:
        asyncio.run(_serve(given, Path(folder)))
    return 0


async def _serve(given: Mapping[str, Any], folder: Path) -> None:
    async with asyncio.TaskGroup() as group:

        def listens() -> None:
            running.append(group.create_task(_listen(face, folder / SOCKET, given["monitor_s"])))

        face = TileFace(
            given["node"],
            _board(given),
            folder=folder,
            console=Path(given["console_log"]),
            audit=AuditLog(Path(given["audit"])),
            faults=FaultFile(Path(given["faults"])),
            listens=listens,
        )
        running = [group.create_task(face.run())]
        print("ready", flush=True)
        await _end_of_input()
        for task in running:
            task.cancel()


async def _end_of_input() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(0)


def _board(given: Mapping[str, Any]) -> TileBoard:
    flash = None
    if given["compact_flash"]:
        with Path(given["compact_flash"]).open("rb") as file:
            flash = file.read(HEAD_BYTES)
    return TileBoard(
        given["mac"],
        flash=flash,
        timing=TileTiming(boot_s=given["boot_s"]),
        address_by=AddressBy(given["address_by"]),
    )


async def _listen(face: TileFace, logins: Path, monitor_s: float) -> None:
    """The monitor's port, and the socket of logins, until cancelled."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        sender = f"{peer[0]}:{peer[1]}" if peer else "login"
        with contextlib.suppress(ConnectionError, ValueError, KeyError):
            order = json.loads(await reader.readline())
            if peer:
                await asyncio.sleep(monitor_s)
            reply = await face.command([str(word) for word in order["run"]], sender)
            said = {"code": reply.code, "out": reply.out, "err": reply.err}
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", PORT, limit=MAX_LINE_BYTES)
    local = await asyncio.start_unix_server(answer, logins, limit=MAX_LINE_BYTES)
    async with server, local:
        await server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())

"""What each implementation of `protocols.power.Console` is tried on: a device that says what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bmsim.tile_monitor import PORT
from provisioner.drivers.ipmi import IpmiDevices
from provisioner.drivers.tile_monitor import TileMonitor
from provisioner.protocols.children import Argument, Child
from provisioner.protocols.power import Console, PowerControl
from provisioner.services.children import SystemChildren
from scenarios.runner.model.tile import TileSystem
from scenarios.runner.model.tile_monitor import ModelTileMonitor
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.virtual_time import run
from tests.contract.drivers.bmc import PASSWORD, USER, running_bmc
from tests.contract.drivers.modelled_bmc import InThisProcess, modelled_ipmitool

TIMEOUT_S = 30.0
DEADLINE_S = 120.0
MONITOR = Path(sys.executable).with_name("tile-monitor")


@dataclass(frozen=True, slots=True)
class Bench:
    """console: of the device. says: the machine prints this. drops: the device forgets who listens."""

    console: Console
    says: Callable[[str], None]
    drops: Callable[[], None]


Story = Callable[[Bench], Awaitable[None]]


def play(kind: str, folder: Path, story: Story) -> None:
    """Ends what it is given."""

    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S), BENCHES[kind](folder) as bench:
            await story(bench)

    if kind == "model":
        run(bounded(), 1)
    else:
        asyncio.run(bounded())


@asynccontextmanager
async def by_ipmi(folder: Path) -> AsyncIterator[Bench]:
    with running_bmc(folder) as bmc:

        def restart() -> None:
            bmc.kill()
            bmc.start()

        console = offered(IpmiDevices(SystemChildren())("n1", bmc.address, {"password": PASSWORD}))
        yield Bench(console, lambda text: bmc.console_prints(text.encode()), restart)


@asynccontextmanager
async def by_tile_monitor(folder: Path) -> AsyncIterator[Bench]:
    """The vendor's program as bmsim has it, and at the other end of its wire a board's kernel log."""
    log: list[str] = []
    hangs_up: list[None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert json.loads(await reader.readline()) == {"run": ["dmesg"]}
        if hangs_up:
            hangs_up.pop()
        else:
            writer.write(json.dumps({"code": 0, "out": "".join(log), "err": ""}).encode() + b"\n")
            await writer.drain()
        writer.close()

    def boot_again() -> None:
        log.clear()
        hangs_up.append(None)

    # Of this process alone: the port is the program's own.
    address = f"127.{os.getpid() >> 16 & 255}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
    async with await asyncio.start_server(answer, address, PORT):
        monitor = TileMonitor(SystemChildren(), MONITOR, timeout_s=TIMEOUT_S)
        yield Bench(monitor.console(address), log.append, boot_again)


@asynccontextmanager
async def in_the_model(folder: Path) -> AsyncIterator[Bench]:
    address, printed = "10.77.0.105", list[str]()
    board = TileSystem("52:54:00:77:00:05", printed, lambda *told, **more: None, lambda: None)
    board.up(address, None)

    def boot_again() -> None:
        board.stopped()
        board.up(address, None)

    program = ModelTileMonitor(
        InThisProcess(),
        Wires(Random(7), lambda fault, link, what: None),
        lambda to: Link("ssh", "ch1", "tile"),
        lambda to: board if board.address == to else None,
        "ch1",
    )
    monitor = TileMonitor(program, Path("tile-monitor"), timeout_s=TIMEOUT_S)
    yield Bench(monitor.console(address), printed.append, boot_again)


BENCHES = {"ipmi": by_ipmi, "tile": by_tile_monitor, "model": in_the_model}


def offered(control: PowerControl) -> Console:
    assert isinstance(control, Console)
    return control


class Without(SystemChildren):
    """ipmitool, as it ends at a BMC that offers no serial-over-LAN."""

    @asynccontextmanager
    async def started(
        self, argv: Sequence[Argument], *, stdin: int = subprocess.DEVNULL
    ) -> AsyncIterator[Child]:
        complaint = "echo 'Info: SOL payload disabled' >&2; exit 1"
        async with super().started(["sh", "-c", complaint], stdin=stdin) as child:
            yield child


def without(kind: str, folder: Path) -> Console:
    """A console that isn't there."""
    address: dict[str, object] = {"address": "127.0.0.1", "port": 1, "user": USER}
    if kind == "tile":
        monitor = TileMonitor(SystemChildren(), folder / "tile-monitor", timeout_s=TIMEOUT_S)
        return monitor.console("127.0.0.1")
    children = modelled_ipmitool() if kind == "model" else Without()
    return offered(IpmiDevices(children)("n1", address, {"password": PASSWORD}))

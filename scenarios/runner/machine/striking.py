"""Faults of a story on real machines: who brings each about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from scenarios.runner.machine.beside import Beside
from scenarios.runner.machine.serve import Serve
from scenarios.runner.machine.watching import CutOff
from scenarios.runner.stage import LabTrouble, Order

REPLAYED = ("agent.twice", "agent.stale_token")


class Striking:
    """note(source, name, detail): the stage's record, of what befell the compute host. All else tells of
    itself."""

    def __init__(
        self,
        rack: RunningRack,
        serve: Serve,
        image_server: Beside,
        replays: Beside,
        cut_off: CutOff,
        nodes: Sequence[str],
        images: Sequence[str],
        note: Callable[..., None],
    ) -> None:
        self._rack = rack
        self._serve = serve
        self._image_server = image_server
        self._replays = replays
        self._cut_off = cut_off
        self._nodes = nodes
        self._images = images
        self._note = note

    async def inject(self, order: Order) -> None:
        """Raises LabTrouble."""
        match order.fault:
            case "host.kill":
                await self._befalls(order.fault, self._serve.kill, "killed")
            case "host.stop":
                await self._befalls(order.fault, self._serve.freeze, "stopped")
            case "host.restart":
                await self._befalls(order.fault, self._serve.kill, "killed")
                await self._start()
            case "host.partition":
                self._cut_off.begin()
                for node in self._nodes:
                    await self.rack_does(self._rack.inject, node, "net.partition")
            case fault if fault.startswith("image."):
                for name in [order.image] if order.image else self._images:
                    self._image_server.inject(fault, name, order.parameters)
            case fault if fault in REPLAYED:
                self._replays.inject(fault, order.node, order.parameters)
            case _:
                await self.rack_does(self._rack.inject, order.node, order.fault, **order.parameters)

    async def heal(self, order: Order) -> None:
        """Raises LabTrouble."""
        match order.fault:
            case "host.kill":
                await self._start()
            case "host.stop":
                await self._serve.thaw()
                self._note("host", "continued")
            case "host.restart":
                pass
            case "host.partition":
                for node in self._nodes:
                    await self.rack_does(self._rack.heal, node, "net.partition")
                self._cut_off.end()
            case fault if fault.startswith("image."):
                for name in [order.image] if order.image else self._images:
                    self._image_server.heal(fault, name)
            case fault if fault in REPLAYED:
                self._replays.heal(fault, order.node)
            case _:
                await self.rack_does(self._rack.heal, order.node, order.fault)

    async def rack_does(self, act: Any, *words: Any, **parameters: Any) -> None:
        """Raises LabTrouble with the rack's own words."""
        try:
            await asyncio.to_thread(act, *words, **parameters)
        except RackError as error:
            raise LabTrouble(f"the rack can't do that: {error}") from error

    async def _befalls(self, fault: str, act: Callable[[], Awaitable[None]], name: str) -> None:
        await act()
        self._note("host", name)
        self._note("fault", "struck", fault=fault)

    async def _start(self) -> None:
        await self._serve.start()
        self._note("host", "started")

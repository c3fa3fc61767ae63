"""Faults of a story on real machines: who brings each about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from scenarios.runner.machine.beside import Beside
from scenarios.runner.machine.process import Process
from scenarios.runner.machine.provisioner import Provisioner
from scenarios.runner.stage import LabTrouble, Order

SEED_BITS = 63

REPLAYED = ("agent.twice", "agent.stale_token")

LOOKED_S = 2.0
"""A BMC and a board look at their faults at each message, and so often at the latest, with time to spare on
two cores that emulate machines meanwhile (bmsim.faces: TICK_S, FAULTS_POLL_S)."""


class Striking:
    """replays: of each compute host. note(source, name, host, **detail): the stage's record, of what befell
    compute hosts and what they share. All else tells of itself."""

    def __init__(
        self,
        rack: RunningRack,
        provisioner: Provisioner,
        image_server: Beside,
        replays: Sequence[Beside],
        images: Sequence[str],
        seed: int,
        note: Callable[..., None],
    ) -> None:
        self._rack = rack
        self._provisioner = provisioner
        self._image_server = image_server
        self._replays = replays
        self._images = images
        self._seed = seed
        self._note = note
        self._healed_s: dict[tuple[str, str], float] = {}  # target and fault of the rack → when

    async def inject(self, order: Order) -> None:
        """Raises LabTrouble."""
        match order.fault:
            case "host.kill":
                await self._kill(order)
            case "host.end":
                if self._host(order).end(at_once=order.parameters["at_once"]):
                    self._befell(order, "told_to_end")
            case "host.stop":
                process = self._host(order)
                if process.alive and not process.frozen:
                    process.freeze(unguarded=order.parameters["unguarded"])
                    self._befell(order, "stopped")
            case "host.restart":
                await self._kill(order)
                self._start(order)
            case "db.restart":
                struck = partial(self._note, "fault", "struck", "", fault=order.fault)
                await self._provisioner.restart_database(order.parameters["down_s"], struck)
            case fault if fault.startswith("image."):
                for name in [order.image] if order.image else self._images:
                    self._image_server.inject(fault, name, order.parameters)
            case fault if fault in REPLAYED:
                for replays in self._replays:
                    replays.inject(fault, order.node, order.parameters)
            case _:
                await self._healing_is_seen(order)
                given = self._seeded(order)
                await self.rack_does(self._rack.inject, _target(order), order.fault, **given)

    async def heal(self, order: Order) -> None:
        """Raises LabTrouble."""
        match order.fault:
            case "host.kill":
                self._start(order)
            case "host.end":
                await self._provisioner.has_ended(order.host)
                self._start(order)
            case "host.stop":
                if self._host(order).frozen:
                    self._host(order).thaw()
                    self._note("host", "continued", order.host)
            case "host.restart":
                pass
            case "db.restart":
                await self._provisioner.database_is_back()
            case fault if fault.startswith("image."):
                for name in [order.image] if order.image else self._images:
                    self._image_server.heal(fault, name)
            case fault if fault in REPLAYED:
                for replays in self._replays:
                    replays.heal(fault, order.node)
            case _:
                await self.rack_does(self._rack.heal, _target(order), order.fault)
                self._healed_s[_target(order), order.fault] = asyncio.get_running_loop().time()

    def _seeded(self, order: Order) -> Mapping[str, Any]:
        """The rack knows no story: its dice are given to it."""
        if "seed" not in order.parameters or order.parameters["seed"] is not None:
            return order.parameters
        return {**order.parameters, "seed": order.chance(self._seed).getrandbits(SEED_BITS)}

    async def _healing_is_seen(self, order: Order) -> None:
        """A device that finds a fault as it was takes it for the same one, and goes on counting."""
        healed_s = self._healed_s.get((_target(order), order.fault))
        if healed_s is not None:
            await asyncio.sleep(healed_s + LOOKED_S - asyncio.get_running_loop().time())

    async def rack_does(self, act: Any, *words: Any, **parameters: Any) -> None:
        """Raises LabTrouble with the rack's own words."""
        try:
            await asyncio.to_thread(act, *words, **parameters)
        except RackError as error:
            raise LabTrouble(f"the rack can't do that: {error}") from error

    def _host(self, order: Order) -> Process:
        return self._provisioner.hosts[order.host]

    async def _kill(self, order: Order) -> None:
        """What is dead already stays so: nothing befalls it."""
        if await self._host(order).kill():
            self._befell(order, "killed")

    def _befell(self, order: Order, name: str) -> None:
        self._note("host", name, order.host)
        self._note("fault", "struck", order.host, fault=order.fault)

    def _start(self, order: Order) -> None:
        if not self._host(order).alive:
            self._host(order).start()
            self._note("host", "started", order.host)


def _target(order: Order) -> str:
    """By the name that the rack has for it."""
    return order.host or order.node

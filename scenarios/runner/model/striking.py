"""Faults of a story in the model: which of its parts each is given to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from scenarios.runner.model.contents import ImageServer
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.rack import ModelRack
from scenarios.runner.model.wires import Wires
from scenarios.runner.model.world_time import WorldClock
from scenarios.runner.processes import as_world
from scenarios.runner.stage import LabTrouble, Order

ON_WIRES = frozenset(
    (
        *("net.drop", "net.delay", "net.duplicate", "net.reorder", "net.partition", "host.partition"),
        *("db.slow", "db.restart"),
    )
)


class Striking:
    """struck(fault, host): told of what befell a compute host; all else tells of itself."""

    def __init__(
        self,
        rack: ModelRack,
        wires: Wires,
        hosts: Mapping[str, ModelHost],
        images: ImageServer,
        image_names: Sequence[str],
        clock: WorldClock,
        seed: int,
        struck: Callable[[str, str], None],
    ) -> None:
        self._rack = rack
        self._wires = wires
        self._hosts = hosts
        self._images = images
        self._image_names = image_names
        self._clock = clock
        self._seed = seed
        self._struck = struck
        self._database_returns: asyncio.TimerHandle | None = None

    def inject(self, order: Order) -> None:
        """Raises LabTrouble."""
        if order.fault in ON_WIRES:
            random = order.chance(self._seed)
            self._wires.inject(order.fault, order.node, order.host, order.parameters, random)
            if order.fault == "db.restart":
                down_s, loop = order.parameters["down_s"], asyncio.get_running_loop()
                self._database_returns = as_world(loop.call_later, down_s, self.heal, order)
        elif order.fault.startswith("host."):
            self._strike_host(order)
        elif order.fault == "nfs.server_gone":
            self._host(order).nfs_silent = True
        elif order.fault.startswith("image."):
            for name in [order.image] if order.image else self._image_names:
                self._images.broken[name] = (order.fault, order.parameters)
        elif order.fault.startswith("pdu."):
            self._rack.feeds.inject(order.fault, order.node, order.parameters)
        else:
            self._rack.node(order.node).inject(order.fault, order.parameters)

    def heal(self, order: Order) -> None:
        if order.fault in ON_WIRES:
            self._wires.heal(order.fault, order.node, order.host)
            if order.fault == "db.restart" and self._database_returns is not None:
                self._database_returns.cancel()  # its end isn't that of the next
        elif order.fault.startswith("host."):
            self._heal_host(order)
        elif order.fault == "nfs.server_gone":
            self._host(order).nfs_silent = False
        elif order.fault.startswith("image."):
            for name in [order.image] if order.image else self._image_names:
                self._images.broken.pop(name, None)
        elif order.fault.startswith("pdu."):
            self._rack.feeds.heal(order.fault, order.node)
        else:
            self._rack.node(order.node).heal(order.fault)

    def _strike_host(self, order: Order) -> None:
        host = self._host(order)
        runs = host.alive
        match order.fault:
            case "host.kill":
                host.kill()
            case "host.end":
                host.end(at_once=order.parameters["at_once"])
            case "host.stop":
                runs = runs and not host.stopped
                host.stop(unguarded=order.parameters["unguarded"])
            case "host.restart":
                host.kill()
                host.start()
            case "host.clock_jump":
                self._clock.ahead_s += order.parameters["by_s"]
                runs = order.parameters["by_s"] != 0
            case "host.disk_full":  # tells by itself when there was no room for something
                host.disk.full, runs = True, False
            case _:
                raise LabTrouble(f"the model can't inject {order.fault}")
        if runs:
            self._struck(order.fault, host.name)

    def _heal_host(self, order: Order) -> None:
        host = self._host(order)
        if order.fault in ("host.kill", "host.end"):
            host.start()
        elif order.fault == "host.stop":
            host.cont()
        elif order.fault == "host.disk_full":
            host.disk.full = False
        elif order.fault == "host.clock_jump":
            self._clock.ahead_s -= order.parameters["by_s"]

    def _host(self, order: Order) -> ModelHost:
        return self._hosts[order.host or next(iter(self._hosts))]

"""A BMC of the model, and the ipmitool that reaches it."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from bmsim.devices.bmc import Act
from bmsim.devices.boot_flags import BootDevice
from scenarios.runner.model.bmc import ModelBmc
from scenarios.runner.model.ipmitool import ModelIpmitool
from scenarios.runner.model.wires import Wires
from tests.contract.drivers.bmc import PASSWORD, USER

T = TypeVar("T")


class Switch:
    """`bmsim.faces.control.Machine`: does what it is told, at once."""

    def __init__(self) -> None:
        self.on = False
        self.boots_from = BootDevice.UNCHANGED

    def is_on(self) -> bool:
        return self.on

    def do(self, act: Act) -> None:
        self.on = act not in (Act.OFF, Act.SHUT_DOWN)

    def boot_next(self, device: BootDevice, kept: bytes) -> None:
        self.boots_from = device

    def kept(self) -> bytes:
        return b""

    def own_device(self) -> BootDevice:
        return BootDevice.DISK


class InThisProcess:
    """`scenarios.runner.model.program.RunsChildren` where there are no processes."""

    async def run(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        return await work


def modelled_bmc(machine: Switch | None = None) -> ModelBmc:
    def note(source: str, name: str, sender: str, **detail: object) -> None:
        """Nobody reads this log."""

    return ModelBmc("n1", USER, PASSWORD, machine or Switch(), time.monotonic, note)


def modelled_ipmitool(bmc: ModelBmc | None = None) -> ModelIpmitool:
    wires = Wires(Random(7), lambda fault, link, what: None)
    reached = bmc or modelled_bmc()
    return ModelIpmitool(InThisProcess(), "ch1", "ch1", wires, lambda address: reached)

"""What all that runs on a machine has in common: a clock that is told, a NIC, a console, what is said.

Whatever runs is a flow: it yields until when it waits, and is sent an input, or None once that time has come.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from bmsim.devices.machine_faults import MachineFaults
from bmsim.devices.messages import Console, Hung, Input, Output, Question, Struck
from bmsim.devices.switch import SwitchPort
from bmsim.devices.timing import Timing

T = TypeVar("T")
Flow = Generator[float, Input | None, T]

FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something didn't work, as its console says it."""

    why: str


class Running:
    """mac, address: of the NIC that is in use; address: empty as long as it has none."""

    __slots__ = ("_asked", "address", "faults", "mac", "now_s", "out", "port", "timing")

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.out: list[Output] = []
        self.faults = MachineFaults(lambda fault: self.out.append(Struck(fault)))
        self.port = SwitchPort()
        self.now_s = 0.0
        self.mac = self.address = ""
        self._asked = 0

    def ask(self) -> int:
        """The number of a new question: no two boots of a machine share one."""
        self._asked += 1
        return self._asked

    def send(self, question: Question) -> None:
        """Lost, where the port of the switch lets nothing through."""
        if self.passes():
            self.out.append(question)

    def passes(self) -> bool:
        """Whether a message gets through the port now. Asked once for each."""
        if self.port.passes(self.now_s):
            return True
        if fault := self.port.fault(self.now_s):
            self.faults.strikes(fault)
        return False

    def say(self, line: str) -> None:
        self.out.append(Console(f"{line}\r\n".encode()))

    def sleep(self, seconds: float) -> Flow[None]:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            yield until_s

    def answer(self, ask: int, wait_s: float) -> Flow[Input | None]:
        """The next answer to that question; None: none came in time."""
        until_s = self.now_s + wait_s
        while (given := (yield until_s)) is not None or self.now_s < until_s:
            if getattr(given, "ask", None) == ask:
                return given
        return None

    def gate(self, stage: str) -> Flow[None]:
        """Where a boot may hang. It goes on when the fault is healed."""
        if self.faults.hangs_at(stage):
            self.out.append(Hung(f"hangs: {stage}"))
            while self.faults.has("node.hangs"):
                yield FOR_EVER

    def stop(self, why: str) -> Flow[None]:
        """Nothing goes on from here but by a reset."""
        self.out.append(Hung(why))
        while True:
            yield FOR_EVER

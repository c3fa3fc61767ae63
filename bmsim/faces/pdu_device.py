"""One PDU as all of its faces see it: the model with a clock, an audit log, faults, and a memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmsim.audit import AuditLog, Entry
from bmsim.devices.pdu import Order, Pdu, PduTiming, Restore, Switched, Told
from bmsim.faults.fault_file import FaultFile
from bmsim.faults.pdu import strikes_feed

MOST_WAITING = 64
"""Messages that a slow PDU holds; the others are lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """What hangs on an outlet. feed: which of the node's power supplies, from 0. faults: the node's file."""

    node: str
    feed: int
    faults: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PduConfig:
    """outlets: their relays, unless `memory` knows better. answer_s: how long any message takes."""

    name: str
    outlets: Mapping[int, bool]
    cables: Mapping[int, Cable] = field(default_factory=dict)
    timing: PduTiming = field(default_factory=PduTiming)
    restore: Restore = Restore.LAST
    watts: float = 80.0
    answer_s: float = 0.0
    memory: Path


class PduDevice:
    """Made inside the event loop that runs it. tell: outlets that were switched, as they are."""

    def __init__(self, config: PduConfig, audit: AuditLog, tell: Callable[[Switched], None]) -> None:
        self.config = config
        self.listeners: list[Callable[[int], None]] = []
        self._loop = asyncio.get_running_loop()
        self._audit = audit
        self._tell = tell
        self._files = {cable.faults: FaultFile(cable.faults) for cable in config.cables.values()}
        self._struck: dict[tuple[str, int], int] = {}
        self._free_at_s = float("-inf")
        self._waiting = 0
        self._wake: asyncio.TimerHandle | None = None
        self._was: dict[int, Told] = {}
        self._remembered_text = ""
        known = self._remembered()
        self.pdu = Pdu(
            {outlet: known.get(outlet, closed) for outlet, closed in config.outlets.items()},
            timing=config.timing,
            restore=config.restore,
            watts=dict.fromkeys(config.cables, config.watts),
            now_s=self.now_s(),
        )
        self.look()

    def now_s(self) -> float:
        return self._loop.time()

    def order(self, outlet: int, order: Order, sender: str, *, delay_s: float = 0.0) -> None:
        """Raises NoOutlet, NoMains."""
        self.pdu.order(outlet, order, self.now_s(), delay_s=delay_s)
        more: dict[str, Any] = {"delay_s": delay_s} if delay_s else {}
        self.note(outlet, f"outlet.{order}", sender, **more)
        self.look()

    def switch_mains(self, on: bool, sender: str) -> None:
        self._look_at_faults()  # a welded relay doesn't open
        self.pdu.switch_mains(on, self.now_s())
        self.note(0, f"mains.{'on' if on else 'off'}", sender)
        self.look()

    def told(self, outlet: int) -> Told:
        """Raises NoOutlet."""
        return self.pdu.told(outlet, self.now_s())

    def answer_delay_s(self) -> float | None:
        """How long the message that has come takes; None: it is lost. Whoever serves it calls `served`."""
        self._look_at_faults()
        if not self.pdu.mains or self.pdu.faults.unreachable():
            self._note_strikes()
            return None
        each_s, now_s = self.pdu.faults.each_s(), self.now_s()
        self._note_strikes()
        if self._waiting >= MOST_WAITING:
            return None
        self._waiting += 1
        if not each_s:
            return self.config.answer_s
        self._free_at_s = max(now_s, self._free_at_s) + max(each_s, self.config.answer_s)
        return self._free_at_s - now_s

    def served(self) -> bool:
        """Whether it is there to take the message by now: without mains it isn't."""
        self._waiting -= 1
        return self.pdu.mains

    def look(self) -> None:
        """What time and faults have brought about; called again by itself when there is more to come."""
        self._look_at_faults()
        update = self.pdu.update(self.now_s())
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if update.wake_at_s is None else self._loop.call_at(update.wake_at_s, self.look)
        for switched in update.outputs:
            self._tell(switched)
        self._note_strikes()
        self._remember()
        if self.pdu.mains:  # else its electronics tell nothing until they have power again
            self._tell_changes()

    def _tell_changes(self) -> None:
        now = {outlet: self.told(outlet) for outlet in self.pdu.numbers}
        changed = [outlet for outlet, told in now.items() if self._was.get(outlet, told) is not told]
        self._was = now
        for outlet in changed:
            for listener in self.listeners:
                listener(outlet)

    def note(self, outlet: int, command: str, sender: str, *, result: str = "ok", **more: Any) -> None:
        """Into the audit log, under the node that hangs there."""
        args = {"pdu": self.config.name, **({"outlet": outlet} if outlet else {}), **more}
        self._write(outlet, "pdu", command, sender, result, args)

    def _write(
        self, outlet: int, device: str, command: str, sender: str, result: str, args: Mapping[str, Any]
    ) -> None:
        cable = self.config.cables.get(outlet)
        self._audit.write(
            Entry(
                t=time.time(),
                node=cable.node if cable else "",
                device=device,
                sender=sender,
                command=command,
                result=result,
                args=args,
            )
        )

    def _look_at_faults(self) -> None:
        given = []
        for outlet, cable in self.config.cables.items():
            for name, parameters in self._files[cable.faults].read().items():
                if name.startswith("pdu.") and strikes_feed(name, parameters, cable.feed):
                    given.append((name, outlet, parameters))
        self.pdu.give_faults(given)

    def _note_strikes(self) -> None:
        for (fault, outlet), times in self.pdu.faults.struck.items():
            if times != self._struck.get((fault, outlet)):
                self._struck[(fault, outlet)] = times
                args = {"fault": fault, "pdu": self.config.name, "outlet": outlet}
                self._write(outlet, "fault", "struck", "", "ok", args)

    def _remembered(self) -> dict[int, bool]:
        try:
            return {
                int(outlet): bool(on) for outlet, on in json.loads(self.config.memory.read_text()).items()
            }
        except (FileNotFoundError, ValueError):
            return {}

    def _remember(self) -> None:
        text = json.dumps(self.pdu.relays())
        if text != self._remembered_text:
            # Renamed into place: a PDU that dies here comes up with what it had.
            fresh = self.config.memory.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(self.config.memory)
            self._remembered_text = text

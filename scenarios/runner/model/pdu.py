"""A PDU of the model: bmsim's own, with its family's objects, without packets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bmsim.devices.pdu import Order, Pdu
from bmsim.devices.pdu_families import FAMILIES
from bmsim.devices.pdu_faults import SLOW, UNREACHABLE
from bmsim.devices.pdu_mib import NoObject, NotWritable, Oid, PduMib, WrongValue
from bmsim.faults.pdu import strikes_feed
from scenarios.runner.processes import as_world
from scenarios.runner.story import StoryPdu

MOST_WAITING = 64
"""Messages that a slow PDU holds, as on the wire."""


@dataclass(frozen=True, slots=True)
class Cable:
    """What hangs on an outlet. feed: which of the node's power supplies, from 0."""

    node: str
    feed: int


@dataclass(frozen=True, slots=True)
class Refused:
    """What it answers in place of values, in the words of RFC 3416 §3."""

    status: str


class ModelPdu:
    """switched(PDU, outlet, on): told of outlets. note(node, source, name, sender, **detail): its log."""

    def __init__(
        self,
        spec: StoryPdu,
        cables: Mapping[int, Cable],
        switched: Callable[[str, int, bool], None],
        note: Callable[..., None],
    ) -> None:
        self._name, self._community = spec.name, spec.community
        self._cables = cables
        self._switched = switched
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._pdu = Pdu(dict.fromkeys(cables, False), now_s=self._loop.time())
        self._mib = PduMib(self._pdu, FAMILIES[spec.family], spec.name)
        self._given: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._told: dict[tuple[str, int], int] = {}  # how often each fault has struck, as far as it is noted
        self._free_at_s = float("-inf")
        self._waiting = 0
        self._wake: asyncio.TimerHandle | None = None

    @property
    def fed(self) -> tuple[str, ...]:
        """The nodes that hang on it, each once."""
        return tuple(dict.fromkeys(cable.node for cable in self._cables.values()))

    # --- faults --------------------------------------------------------------------------------

    def inject(self, fault: str, node: str, parameters: Mapping[str, Any]) -> None:
        for outlet, cable in self._cables.items():
            if cable.node == node and strikes_feed(fault, parameters, cable.feed):
                self._given[(fault, outlet)] = parameters
        self._faults_changed()

    def heal(self, fault: str, node: str) -> None:
        for outlet, cable in self._cables.items():
            if cable.node == node:
                self._given.pop((fault, outlet), None)
        self._faults_changed()

    def _faults_changed(self) -> None:
        self._pdu.give_faults((fault, outlet, given) for (fault, outlet), given in self._given.items())

    # --- messages ------------------------------------------------------------------------------

    def hears(self, community: str) -> float | None:
        """How long the message that has come takes; None: it is lost, or not answered. `get` or `set` then
        serves it."""
        unreachable, each_s = self._pdu.faults.unreachable(), self._pdu.faults.each_s()
        self._note_strikes()
        if unreachable or community != self._community or self._waiting >= MOST_WAITING:
            return None
        self._waiting += 1
        now_s = self._loop.time()
        self._free_at_s = max(now_s, self._free_at_s) + each_s
        return self._free_at_s - now_s

    def get(self, oids: Sequence[Oid]) -> list[int | str | Oid] | Refused:
        self._waiting -= 1
        now_s = self._loop.time()
        try:
            values = [self._mib.get(oid, now_s) for oid in oids]
        except NoObject:
            return Refused("noSuchName")
        self._note_strikes()
        return values

    def set(self, oid: Oid, value: int, sender: str) -> list[int | str | Oid] | Refused:
        self._waiting -= 1
        try:
            outlet, order, delay_s = self._mib.command(oid, value)
        except NoObject:
            return Refused("noCreation")
        except NotWritable:
            return Refused("notWritable")
        except WrongValue:
            return Refused("wrongValue")
        self._order(outlet, order, delay_s, sender)
        return [value]

    def _order(self, outlet: int, order: Order, delay_s: float, sender: str) -> None:
        self._pdu.order(outlet, order, self._loop.time(), delay_s=delay_s)
        detail = {"pdu": self._name, "outlet": outlet, "result": "ok"}
        self._note(self._cables[outlet].node, "pdu", f"outlet.{order}", sender, **detail)
        as_world(self._look)

    def _look(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        update = self._pdu.update(self._loop.time())
        self._wake = None if update.wake_at_s is None else self._loop.call_at(update.wake_at_s, self._look)
        self._note_strikes()
        for switched in update.outputs:
            self._switched(self._name, switched.outlet, switched.on)

    def _note_strikes(self) -> None:
        for (fault, outlet), times in self._pdu.faults.struck.items():
            told = self._told.get((fault, outlet), 0)
            if times == told:
                continue
            self._told[(fault, outlet)] = times
            # What strikes the whole PDU strikes all who hang on it; that is told once of the others.
            all_of_it = fault in (UNREACHABLE, SLOW) and not told
            for other, cable in self._cables.items():
                if all_of_it or other == outlet:
                    detail = {"fault": fault, "pdu": self._name, "outlet": other}
                    self._note(cable.node, "fault", "struck", "", **detail)

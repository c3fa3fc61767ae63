"""The PDUs of a modelled rack, and what their outlets do to its machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bmsim.devices.cabling import Cabling
from scenarios.runner.model.pdu import Cable, ModelPdu
from scenarios.runner.stage import LabTrouble
from scenarios.runner.story import Story


class ModelFeeds:
    """power(node, on): what hangs on outlets has power now, or none."""

    def __init__(self, story: Story, power: Callable[[str, bool], None], note: Callable[..., None]) -> None:
        self._power = power
        self._note = note
        self._cabling = Cabling(
            {
                node.name: [(feed.pdu.name, feed.outlet) for feed in node.feeds]
                for node in story.nodes
                if node.feeds
            }
        )
        self._cabling.changes()  # they are off at first, and so are their machines
        cables: dict[str, dict[int, Cable]] = {}
        for node in story.nodes:
            for number, feed in enumerate(node.feeds):
                cables.setdefault(feed.pdu.name, {})[feed.outlet] = Cable(node.name, number)
        pdus = dict.fromkeys(feed.pdu for node in story.nodes for feed in node.feeds)
        self._pdus = {pdu.name: ModelPdu(pdu, cables[pdu.name], self._switched, note) for pdu in pdus}
        self._by_address = {pdu.address: self._pdus[pdu.name] for pdu in pdus}

    def pdu_at(self, address: str) -> ModelPdu | None:
        return self._by_address.get(address)

    def inject(self, fault: str, node: str, parameters: Mapping[str, Any]) -> None:
        """Raises LabTrouble."""
        if fault == "pdu.wrong_wiring":
            try:
                other = self._cabling.swap(node, parameters["other"])
            except ValueError as error:
                raise LabTrouble(str(error)) from error
            self._crossed(((node, other), (other, node)))
            self._look()
        for pdu in self._pdus.values():
            pdu.inject(fault, node, parameters)

    def heal(self, fault: str, node: str) -> None:
        if fault == "pdu.wrong_wiring":
            self._cabling.unswap(node)
            self._look()
        for pdu in self._pdus.values():
            pdu.heal(fault, node)

    def _switched(self, pdu: str, outlet: int, on: bool) -> None:
        self._crossed(self._cabling.crossed((pdu, outlet)))
        self._cabling.switched((pdu, outlet), on)
        self._look()

    def _crossed(self, pairs: Iterable[tuple[str, str]]) -> None:
        for struck, other in pairs:
            self._note(struck, "fault", "struck", "", fault="pdu.wrong_wiring", other=other)

    def _look(self) -> None:
        for node, fed in self._cabling.changes():
            self._note(node, "feed", "power.back" if fed else "power.lost", "", result="ok")
            self._power(node, fed)

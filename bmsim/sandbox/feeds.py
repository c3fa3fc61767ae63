"""Power comes to machines and their BMCs by outlets, and goes with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import libvirt

from bmsim.devices.cabling import Cabling
from bmsim.rack.spec import Rack
from bmsim.sandbox.bmc_processes import BmcProcesses
from bmsim.sandbox.orders import Orders

RETRY_S = 1.0
"""libvirtd may be starting again just then."""


class Feeds:
    """machines: who switches them. note(node, device, command, sender): the rack's audit log. alone: held
    while they are switched."""

    def __init__(
        self,
        rack: Rack,
        cabling: Cabling,
        bmcs: BmcProcesses,
        machines: Orders,
        alone: asyncio.Lock,
        note: Callable[..., None],
        say: Callable[[str], None],
    ) -> None:
        self._nodes = {node.name: node for node in rack.nodes}
        self._cabling = cabling
        self._bmcs = bmcs
        self._machines = machines
        self._alone = alone
        self._note = note
        self._say = say
        self._changes: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        self._following = False

    def switched(self, pdu: str, outlet: int, on: bool) -> None:
        for struck, other in self._cabling.crossed((pdu, outlet)):
            self._note(struck, "fault", "struck", "", fault="pdu.wrong_wiring", other=other)
        self._cabling.switched((pdu, outlet), on)
        self.look()

    def look(self) -> None:
        """An outlet or a cable may have changed. What goes and comes back at once is followed both ways."""
        if self._following:
            for change in self._cabling.changes():
                self._changes.put_nowait(change)

    async def follow(self) -> None:
        """Until cancelled. BMCs run already, and PDUs have told which outlets are on."""
        self._following = True
        self.look()
        while True:
            await self._feed(*await self._changes.get())

    async def _feed(self, name: str, fed: bool) -> None:
        node = self._nodes[name]
        self._bmcs.feed(node, fed)
        machines = self._machines
        act = machines.cut_power if not fed else machines.give_power if node.starts_by_feed else None
        while act is not None:
            try:
                async with self._alone:
                    await asyncio.to_thread(act, name)
                break
            except (libvirt.libvirtError, OSError) as error:
                self._say(f"power of {name} is not yet {'on' if fed else 'off'}: {error}")
                await asyncio.sleep(RETRY_S)
        self._note(name, "feed", "power.back" if fed else "power.lost", "")

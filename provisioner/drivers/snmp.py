"""Outlets of PDUs by SNMP: a family's table (`core/pdus/`), and how its states come to a node's power."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from provisioner.core.errors import DeviceRefused, InvalidInput
from provisioner.core.outlets import OutletState, Seen, together
from provisioner.core.pdus.families import AUTO, FAMILIES, FIRST_UNITS
from provisioner.core.pdus.family import Family, Oid
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_tries import LATELY_S
from provisioner.drivers.outlet_verbs import ends_on
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Messages, Value
from provisioner.drivers.snmp_queue import PduQueue
from provisioner.protocols.power import PowerControl, PowerVerb

LONGEST_COMMAND_S = 4.0
"""A wait for its turn, and a message; of several outlets, several messages. Operators may say otherwise."""

SPARE_S = 0.1
"""Of that, for what comes after the last message."""

PORT = 161

MOST_PDUS = 1024
"""That are remembered: their queues, and the families of those that are asked for it."""


class SnmpOutlets:
    """`PowerControl` and `Feeds` of one node, by the outlets of one PDU that it hangs on.

    family: None: to be asked for
    """

    def __init__(
        self,
        pdu: PduQueue,
        credentials: Credentials,
        family: Family | None,
        outlets: Sequence[int],
        *,
        unit: str = "",
        discharge_s: float,
        longest_command_s: float,
    ) -> None:
        self.longest_command_s = longest_command_s
        self.discharge_s = discharge_s
        self._pdu = pdu
        self._credentials = credentials
        self._family = family
        self._outlets = outlets
        self._unit = unit
        self._last: dict[str, Seen] = {}
        self._verb: PowerVerb | None = None
        self._left: list[int] = []  # outlets that the PDU hasn't acknowledged `_verb` for
        self._tried_s = float("-inf")  # when the last try of that ended
        self._unsure = False  # whether one of them was told, and may have done it since

    def last_seen(self) -> Mapping[str, Seen]:
        return self._last

    async def power_state(self) -> PowerState:
        tried = f"read the state of {self._names()}"
        async with self._bounded(tried):
            family = self._family or await self._pdu.family(self._credentials)
            try:
                seen = await self._read(tried, family)
            except DeviceRefused:
                if self._family is not None:
                    raise
                known, family = family, await self._pdu.family(self._credentials, refused=family)
                if family is known:
                    raise
                seen = await self._read(tried, family)
        self._last = {f"outlet {outlet}": one for outlet, one in zip(self._outlets, seen, strict=True)}
        states = [one.state for one in seen]
        self._tell_again(states)
        return together(states)

    async def set_power(self, verb: PowerVerb) -> None:
        tried = f"switch {verb} {self._names()}"
        on = ends_on(verb, tried, self._pdu.agent.name)
        lately = asyncio.get_running_loop().time() < self._tried_s + LATELY_S
        if verb is not self._verb or not self._left or not lately:
            self._unsure = self._unsure and verb is self._verb
            self._verb, self._left = verb, list(self._outlets)
        # Else the last try was cut short: a PDU that is too slow for all of them at once comes to the last.
        try:
            await self._tell(tried, on)
        finally:
            self._tried_s = asyncio.get_running_loop().time()

    async def _tell(self, tried: str, on: bool) -> None:
        verb, left = self._verb, self._left
        async with self._bounded(tried) as until_s:
            family = self._family or await self._pdu.family(self._credentials)
            command = family.on if on else family.off
            if self._unsure:
                await self._look(tried, family, OutletState.ON if on else OutletState.OFF)
            for outlet in tuple(left):
                oid = self._oid(tried, family, command.oid, outlet)
                telling = f"switch {verb} outlet {outlet}"
                async with self._pdu.turn(telling, self._credentials, until_s):
                    self._pdu.forget(self)
                    self._unsure = True
                    await self._pdu.set(telling, self._credentials, oid, command.value, until_s=until_s)
                    self._unsure = False
                left.remove(outlet)
        left.clear()  # of those that were seen on their way

    async def _look(self, tried: str, family: Family, wanted: OutletState) -> None:
        """What an unanswered command has done: to a slow PDU, one more of the same is one more to serve, and
        an outlet on its way would begin anew. If that isn't where it goes, it is told when it has arrived."""
        states = [one.state for one in await self._read(tried, family)]
        self._tell_again(states)
        for outlet, state in zip(self._outlets, states, strict=True):
            if state in (wanted, OutletState.PENDING) and outlet in self._left:
                self._left.remove(outlet)
        self._unsure = False

    def _tell_again(self, states: Sequence[OutletState]) -> None:
        """Those that were told and are seen as before, when others are left still: another host may have had
        the node meanwhile. After the others, as relays may be slow."""
        before = OutletState.OFF if self._verb is PowerVerb.ON else OutletState.ON
        if self._left:
            seen = zip(self._outlets, states, strict=True)
            self._left += [outlet for outlet, state in seen if state is before and outlet not in self._left]

    async def _read(self, tried: str, family: Family) -> list[Seen]:
        oids = [self._oid(tried, family, family.state, outlet) for outlet in self._outlets]
        values = await self._pdu.read(tried, self._credentials, oids, by=self)
        return [
            self._understood(tried, family, outlet, value)
            for outlet, value in zip(self._outlets, values, strict=True)
        ]

    def _understood(self, tried: str, family: Family, outlet: int, value: Value) -> Seen:
        """Raises DeviceRefused for an outlet that the PDU says it hasn't."""
        if value in family.missing:
            raise DeviceRefused(
                tried,
                device=self._pdu.agent.name,
                answer=f"it has no outlet {outlet} ({value})",
                advice="Check power.family, power.outlets and power.unit",
            )
        state = family.read(value) if isinstance(value, int) else OutletState.UNKNOWN
        return Seen(state, str(value) if state is OutletState.UNKNOWN else "")

    def _oid(self, tried: str, family: Family, pattern: str, outlet: int) -> Oid:
        """Raises DeviceRefused for a unit that the PDU, asked for its family, can't have: the outlet of this
        number is one of its own then, which may be another node's."""
        if self._family is None and not family.unit and self._unit not in FIRST_UNITS:
            raise DeviceRefused(
                tried,
                device=self._pdu.agent.name,
                answer=f"its family is {family.name}, which has no units, and power.unit is {self._unit}",
                advice="Leave power.unit out, or correct power.address",
            )
        return family.oid(pattern, outlet, self._unit)

    def _names(self) -> str:
        numbers = ", ".join(map(str, self._outlets))
        return f"outlet{'s' if len(self._outlets) > 1 else ''} {numbers}"

    @asynccontextmanager
    async def _bounded(self, tried: str) -> AsyncIterator[float]:
        """Gives when it has to have ended."""
        until_s = asyncio.get_running_loop().time() + self.longest_command_s - SPARE_S
        try:
            async with asyncio.timeout_at(until_s):
                yield until_s
        except TimeoutError as error:
            raise self._pdu.late(tried, self._credentials) from error


class SnmpDevices:
    """`protocols.power.DeviceFactory` of the driver `snmp`.

    address: address, family, outlets; port (161), unit (the family's), version (2c), discharge_s;
    for version 3 user, auth_protocol (SHA), priv_protocol (AES).
    secret: community, write_community (the same); for version 3 auth_key, priv_key.
    discharge_s: of nodes that don't say it
    timeout_s: what a command may take
    chance: evenly from 0 to 1, for pauses that aren't those of other hosts
    """

    def __init__(
        self,
        messages: Messages,
        *,
        discharge_s: float,
        timeout_s: float = LONGEST_COMMAND_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._messages = messages
        self._discharge_s = discharge_s
        self._timeout_s = timeout_s
        self._chance = chance
        self._pdus: OrderedDict[tuple[str, int], PduQueue] = OrderedDict()

    def __call__(
        self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]
    ) -> PowerControl:
        name = str(address["family"])
        if name != AUTO and name not in FAMILIES:
            raise InvalidInput(
                f"reach the PDU of node {node_name}",
                field="power.family",
                answer=f"there is no family {name!r}",
                advice=f"Known families: {', '.join(FAMILIES)}, or {AUTO}",
            )
        outlets = address["outlets"]
        assert isinstance(outlets, list | tuple)
        return SnmpOutlets(
            self._pdu(str(address["address"]), int(str(address.get("port", PORT)))),
            Credentials.parse(address, secret),
            None if name == AUTO else FAMILIES[name],
            tuple(int(outlet) for outlet in outlets),
            unit=str(address.get("unit") or ""),
            discharge_s=float(str(address.get("discharge_s", self._discharge_s))),
            longest_command_s=self._timeout_s,
        )

    def _pdu(self, host: str, port: int) -> PduQueue:
        pdu = self._pdus.get((host, port))
        if pdu is None:
            agent = Agent(f"PDU {host}", host, port)
            pdu = PduQueue(agent, self._messages, longest_s=self._timeout_s, chance=self._chance)
            self._pdus[(host, port)] = pdu
            if len(self._pdus) > MOST_PDUS:
                self._pdus.popitem(last=False)
        self._pdus.move_to_end((host, port))
        return pdu

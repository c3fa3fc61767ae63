"""Outlets that a program switches: `PROGRAM ADDRESS OUTLET on|off|status`.

The program is the site's own, and so are its secrets: nothing but these words is given to it. `status` prints
on or off as its last word. It exits by 0, or says why it couldn't on standard error (sysexits.h: 77 for
credentials that weren't accepted, 64 and 68 for what can never work; anything else may work later). For one
address it is run once at a time: PDUs with room for one session are what such programs are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from provisioner.core.errors import DeviceRefused, DeviceUnreachable, InvalidInput, WrongCredentials
from provisioner.core.outlets import OutletState, Seen, together
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_tries import Tries
from provisioner.drivers.outlet_turns import Turn, Turns
from provisioner.drivers.outlet_verbs import ends_on
from provisioner.protocols.children import Children, ChildTimedOut
from provisioner.protocols.power import PowerControl, PowerVerb

KILL_S = 0.2
"""Of a command's time, what ending the program may take."""

LONGEST_WORD = 40
"""Of what it says in place of on or off, what is told."""

EX_USAGE, EX_NOHOST, EX_NOPERM = 64, 68, 77


class CommandOutlets:
    """`PowerControl` and `Feeds` of one node."""

    def __init__(
        self,
        children: Children,
        turn: Turn,
        program: Path,
        address: str,
        outlets: Sequence[int],
        *,
        discharge_s: float,
        longest_command_s: float,
    ) -> None:
        self.longest_command_s = longest_command_s
        self.discharge_s = discharge_s
        self._children = children
        self._turn = turn
        self._program = program
        self._address = address
        self._outlets = outlets
        self._name = f"PDU {address} by {program.name}"
        self._last: dict[str, Seen] = {}
        self._tries = Tries(outlets)

    def last_seen(self) -> Mapping[str, Seen]:
        return self._last

    async def power_state(self) -> PowerState:
        seen = {}
        async with self._in_turn("read its outlets") as end_s:
            for outlet in self._outlets:
                answer = await self._run(f"read the state of outlet {outlet}", outlet, "status", end_s)
                words = answer.split()
                said = words[-1].lower() if words else ""
                known = said in (OutletState.ON, OutletState.OFF, OutletState.PENDING)
                seen[f"outlet {outlet}"] = (
                    Seen(OutletState(said)) if known else Seen(OutletState.UNKNOWN, said[:LONGEST_WORD])
                )
        self._last = seen
        return together(outlet.state for outlet in seen.values())

    async def set_power(self, verb: PowerVerb) -> None:
        tried = f"switch {verb}"
        ends_on(verb, tried, self._name)
        with self._tries.one(verb) as outlets:
            async with self._in_turn(tried) as end_s:
                for outlet in outlets:
                    await self._run(f"{tried} outlet {outlet}", outlet, verb, end_s)
                    self._tries.acknowledged(outlet)

    @asynccontextmanager
    async def _in_turn(self, tried: str) -> AsyncIterator[float]:
        """Gives when the last program has to have ended. Raises DeviceBusy."""
        end_s = asyncio.get_running_loop().time() + self.longest_command_s - KILL_S
        async with self._turn.taken(tried, self._name, self.longest_command_s):
            yield end_s

    async def _run(self, tried: str, outlet: int, verb: str, end_s: float) -> str:
        argv = (str(self._program), self._address, str(outlet), verb)
        timeout_s = max(0.0, end_s - asyncio.get_running_loop().time())
        try:
            result = await self._children.run(argv, timeout_s=timeout_s)
        except ChildTimedOut as error:
            raise DeviceUnreachable(
                tried,
                device=self._name,
                answer=f"not done in {self.longest_command_s:g} s",
                advice="Run the program by hand; power.command_timeout_s is what it may take"
                + (f" for all {len(self._outlets)} outlets of the node" if len(self._outlets) > 1 else ""),
            ) from error
        if result.code == 0:
            return result.stdout
        kinds = {EX_NOPERM: WrongCredentials, EX_USAGE: DeviceRefused, EX_NOHOST: DeviceRefused}
        raise kinds.get(result.code, DeviceUnreachable)(
            tried, device=self._name, answer=result.last_words(), advice="Run the program by hand"
        )


class CommandDevices:
    """`protocols.power.DeviceFactory` of the driver `command`.

    address: command, address, outlets; discharge_s. Only programs that the host's own configuration names are
    run: who may enrol nodes may not run anything.
    """

    def __init__(
        self, children: Children, programs: Mapping[str, Path], *, discharge_s: float, timeout_s: float
    ) -> None:
        self._children = children
        self._programs = programs
        self._discharge_s = discharge_s
        self._timeout_s = timeout_s
        self._turns = Turns()

    def __call__(
        self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]
    ) -> PowerControl:
        program = self._programs.get(str(address["command"]))
        if program is None:
            raise InvalidInput(
                f"switch the outlets of node {node_name}",
                field="power.command",
                answer=f"this host has no command {address['command']!r}",
                advice="Name its program in power.commands of the configuration",
            )
        where, outlets = str(address["address"]), address["outlets"]
        assert isinstance(outlets, list | tuple)
        return CommandOutlets(
            self._children,
            self._turns.of((program, where)),
            program,
            where,
            tuple(int(outlet) for outlet in outlets),
            discharge_s=float(str(address.get("discharge_s", self._discharge_s))),
            longest_command_s=self._timeout_s,
        )

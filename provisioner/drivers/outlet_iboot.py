"""One outlet over TCP, in the words of Dataprobe's iBoot: a line in, ON or OFF out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from provisioner.core.errors import DeviceRefused, DeviceUnreachable, InvalidInput, WrongCredentials
from provisioner.core.outlets import OutletState, Seen, together
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_turns import Turn, Turns
from provisioner.drivers.outlet_verbs import ends_on
from provisioner.protocols.power import PowerControl, PowerVerb

LONGEST_COMMAND_S = 4.0
PORT = 80
QUERY, ON, OFF = "q", "n", "f"
WORDS = {"ON": OutletState.ON, "OFF": OutletState.OFF, "CYCLE": OutletState.PENDING}
LONGEST_ANSWER_BYTES = 64


class IbootOutlet:
    """`PowerControl` and `Feeds` of one node."""

    longest_command_s = LONGEST_COMMAND_S

    def __init__(self, turn: Turn, host: str, port: int, password: str, *, discharge_s: float) -> None:
        self.discharge_s = discharge_s
        self._turn = turn
        self._name = f"outlet {host}:{port}"
        self._host = host
        self._port = port
        self._password = password
        self._last: dict[str, Seen] = {}
        self._hung_up = False  # when it was asked last

    def last_seen(self) -> Mapping[str, Seen]:
        return self._last

    async def power_state(self) -> PowerState:
        answer = await self._ask("read its state", QUERY)
        state = WORDS.get(answer, OutletState.UNKNOWN)
        self._last = {"outlet": Seen(state, "" if answer in WORDS else self._shown(answer))}
        return together([state])

    async def set_power(self, verb: PowerVerb) -> None:
        tried = f"switch {verb}"
        answer = await self._ask(tried, ON if ends_on(verb, tried, self._name) else OFF)
        if answer not in ("ON", "OFF"):
            advice = "Look whether it is in a cycle of its own, and check that it is an iBoot (power.driver)"
            raise DeviceRefused(tried, device=self._name, answer=self._shown(answer), advice=advice)

    async def _ask(self, tried: str, command: str) -> str:
        """A wrong password is hung up on, and so is whoever asks as it restarts: which doesn't happen twice
        running, for it isn't there in between, or answers."""
        hung_up_before, self._hung_up = self._hung_up, False
        try:
            async with (
                asyncio.timeout(LONGEST_COMMAND_S - 0.1),
                self._turn.taken(tried, self._name, LONGEST_COMMAND_S),
            ):
                answer = await self._exchange(command)
        except (OSError, TimeoutError) as error:
            answer = str(error) or f"no answer in {LONGEST_COMMAND_S:g} s"
            raise DeviceUnreachable(
                tried, device=self._name, answer=answer, advice="Look at its power and its network"
            ) from error
        if not answer:
            self._hung_up = True
            kind = WrongCredentials if hung_up_before else DeviceUnreachable
            raise kind(
                tried,
                device=self._name,
                answer="it hung up without a word" + (" twice running" if hung_up_before else ""),
                advice="Check power.password, and whether it restarts",
            )
        return answer

    def _shown(self, answer: str) -> str:
        """What is no iBoot may send back what it was sent, the password too."""
        plain = answer.isprintable() and self._password.upper() not in answer
        return repr(answer) if plain else "words that no iBoot says"

    async def _exchange(self, command: str) -> str:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(f"\x1b{self._password}\x1b{command}\r".encode())
            await writer.drain()
            return await _answer(reader)
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> str:
    """A word, in as many pieces as the network makes of it; what ends it, if anything, is the device's."""
    line, word = b"", ""
    while len(line) < LONGEST_ANSWER_BYTES and (piece := await reader.read(LONGEST_ANSWER_BYTES)):
        line += piece
        word = line.decode("ascii", "replace").strip().upper()
        if word in WORDS or (word and line.endswith((b"\r", b"\n"))):
            break
    return word


class IbootDevices:
    """`protocols.power.DeviceFactory` of the driver `iboot`.

    address: address; port (80), discharge_s. secret: password.
    """

    def __init__(self, *, discharge_s: float) -> None:
        self._discharge_s = discharge_s
        self._turns = Turns()

    def __call__(
        self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]
    ) -> PowerControl:
        if "password" not in secret:
            raise InvalidInput("reach an iBoot", field="power.password", answer="it is missing")
        host, port = str(address["address"]), int(str(address.get("port", PORT)))
        return IbootOutlet(
            self._turns.of((host, port)),
            host,
            port,
            secret["password"],
            discharge_s=float(str(address.get("discharge_s", self._discharge_s))),
        )

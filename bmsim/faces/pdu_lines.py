"""A PDU's faces over TCP: an iBoot, a console for people (telnet), and the rack's own.

All are one line in and one line out, over and over until the other side hangs up.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable

from bmsim.devices.pdu import NoMains, NoOutlet, Order, Told
from bmsim.faces.pdu_device import PduDevice
from bmsim.faces.telnet import heard

LONGEST_LINE_BYTES = 512
IDLE_S = 60.0
MOST_CONNECTIONS = 32

COMMANDS = "show, on N, off N, reboot N, quit"

Answer = Callable[[bytes, str], str | None]
"""(line, sender) → what to say; None: hang up."""


async def serve_iboot(device: PduDevice, address: str, port: int, password: str) -> asyncio.Server:
    """ESC password ESC command CR, of its first outlet: q tells, n is on, f off, c off and on. It hangs up
    on a wrong password."""
    names = {b"n": Order.ON, b"f": Order.OFF, b"c": Order.REBOOT}

    def answer(line: bytes, sender: str) -> str | None:
        outlet = device.pdu.numbers[0]
        start, given, command = (*line.split(b"\x1b"), b"", b"", b"")[:3]
        if start or not hmac.compare_digest(given, password.encode()):
            device.note(outlet, "iboot", sender, result="refused: wrong password")
            return None
        if command in names:
            device.order(outlet, names[command], sender)
            return {b"n": "ON", b"f": "OFF", b"c": "CYCLE"}[command]
        device.note(outlet, "iboot.query", sender)
        return "ON" if device.told(outlet) in (Told.ON, Told.PENDING_OFF) else "OFF"

    return await _serve(device, address, port, b"\r", lambda: answer)


async def serve_console(device: PduDevice, address: str, port: int, password: str) -> asyncio.Server:
    """For people, by telnet: the password once, then `show`, `on 3`, `off 3`, `reboot 3`."""
    return await _serve(device, address, port, b"\n", lambda: _Conversation(device, password))


class _Conversation:
    """`Answer` of one connection."""

    def __init__(self, device: PduDevice, password: str) -> None:
        self._device = device
        self._password = password
        self._let_in = False

    def __call__(self, line: bytes, sender: str) -> str | None:
        device = self._device
        if not self._let_in:
            self._let_in = hmac.compare_digest(line.strip(), self._password.encode())
            device.note(
                0, "console.login", sender, result="ok" if self._let_in else "refused: wrong password"
            )
            return COMMANDS if self._let_in else None
        match line.decode("ascii", "replace").split():
            case ["quit"]:
                return None
            case ["show"]:
                device.note(0, "console.show", sender)
                return "; ".join(f"{outlet} {device.told(outlet)}" for outlet in device.pdu.numbers)
            case [("on" | "off" | "reboot") as order, number] if number.isdigit():
                try:
                    device.order(int(number), Order(order), sender)
                except NoOutlet as error:
                    return str(error)
                return "done"
        return COMMANDS


async def serve_rack(device: PduDevice, path: str) -> asyncio.Server:
    """The rack's own, past all faults: one JSON object a line, as `bmsim rack pdu` sends them."""

    def answer(line: bytes, sender: str) -> str:
        try:
            match json.loads(line):
                case {"do": "show"}:
                    return json.dumps({"mains": device.pdu.mains, "outlets": _shown(device)})
                case {"do": "order", "outlet": int(outlet), "order": str(order)}:
                    device.order(outlet, Order(order), "bmsim")
                    return "{}"
                case {"do": "mains", "on": bool(on)}:
                    device.switch_mains(on, "bmsim")
                    return "{}"
        except (ValueError, NoOutlet, NoMains) as error:
            return json.dumps({"error": str(error)})
        return json.dumps({"error": "there is no such order"})

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                writer.write(answer(await reader.readline(), "").encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass
        finally:
            writer.close()

    return await asyncio.start_unix_server(connected, path, limit=LONGEST_LINE_BYTES)


def _shown(device: PduDevice) -> list[dict[str, object]]:
    cables = device.config.cables
    return [
        {
            "outlet": outlet,
            "state": device.told(outlet),
            "fed": device.pdu.fed(outlet),
            "milliamps": device.pdu.milliamps(outlet),
            "node": cables[outlet].node if outlet in cables else "",
        }
        for outlet in device.pdu.numbers
    ]


async def _serve(
    device: PduDevice, address: str, port: int, end: bytes, begin: Callable[[], Answer]
) -> asyncio.Server:
    """begin: called for each connection."""
    connections = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        host, number = writer.get_extra_info("peername")[:2]
        answer = begin()
        try:
            if connections <= MOST_CONNECTIONS:
                await _converse(device, reader, writer, end, lambda line: answer(line, f"{host}:{number}"))
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever hangs up, says nothing, or doesn't end its line
        finally:
            connections -= 1
            writer.close()

    return await asyncio.start_server(connected, address, port, limit=LONGEST_LINE_BYTES)


async def _converse(
    device: PduDevice,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    end: bytes,
    answer: Callable[[bytes], str | None],
) -> None:
    while True:
        async with asyncio.timeout(IDLE_S):
            line, negotiated = heard(await reader.readuntil(end))
        if not await pass_gate(device):
            # As if nobody were there: the other side waits until it has had enough.
            async with asyncio.timeout(IDLE_S):
                await reader.read()
            return
        said = answer(line)
        if said is None:
            return
        writer.write(negotiated + said.encode() + b"\r\n")
        await writer.drain()


async def pass_gate(device: PduDevice) -> bool:
    """When the PDU is ready for a message that has come; False: it never hears it."""
    delay_s = device.answer_delay_s()
    if delay_s is None:
        return False
    there = False
    try:
        await asyncio.sleep(delay_s)
    finally:
        there = device.served()
    return there

"""A PDU's outlets by HTTP: `GET /outlets/3` tells, `POST /outlets/3/on` switches; with a bearer token."""

from __future__ import annotations

import asyncio
import hmac
import json

import h11

from bmsim.devices.pdu import NoOutlet, Order
from bmsim.faces.pdu_device import PduDevice
from bmsim.faces.pdu_lines import IDLE_S, pass_gate

LONGEST_READ_BYTES = 16 * 1024


async def serve_http(device: PduDevice, address: str, port: int, token: str) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, number = writer.get_extra_info("peername")[:2]
        try:
            async with asyncio.timeout(IDLE_S):
                await _one_request(device, reader, writer, token, f"{host}:{number}")
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            pass  # whoever hangs up, says nothing, or something else than HTTP
        finally:
            writer.close()

    return await asyncio.start_server(connected, address, port)


async def _one_request(
    device: PduDevice, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str, sender: str
) -> None:
    connection = h11.Connection(h11.SERVER)
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(LONGEST_READ_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            return
    if request is None:
        return
    if not await pass_gate(device):
        await reader.read()
        return
    status, told = _answer(device, request, token, sender)
    body = json.dumps(told).encode() + b"\n"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    for part in (
        h11.Response(status_code=status, headers=headers),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ):
        writer.write(connection.send(part) or b"")
    await writer.drain()


def _answer(device: PduDevice, request: h11.Request, token: str, sender: str) -> tuple[int, dict[str, str]]:
    given = next((value for name, value in request.headers if name == b"authorization"), b"")
    if not hmac.compare_digest(given, b"Bearer " + token.encode()):
        device.note(0, "http", sender, result="refused: wrong token")
        return 401, {"error": "a token is needed: Authorization: Bearer …"}
    words = request.target.decode("ascii", "replace").strip("/").split("/")
    try:
        match request.method, words:
            case b"GET", ["outlets", number] if number.isdigit():
                told = device.told(int(number))
                device.note(int(number), "http.get", sender)
                return 200, {"state": told}
            case b"POST", ["outlets", number, ("on" | "off" | "reboot") as order] if number.isdigit():
                device.order(int(number), Order(order), sender)
                return 200, {"state": device.told(int(number))}
    except NoOutlet as error:
        return 404, {"error": str(error)}
    return 404, {"error": "there are GET /outlets/N and POST /outlets/N/on, off, reboot"}

"""Outlets by the iBoot's own protocol, as it misbehaves."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceRefused, DeviceUnreachable, WrongCredentials
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_iboot import IbootDevices, IbootOutlet
from provisioner.protocols.power import PowerVerb
from tests.contract.drivers.pdu import PASSWORD, running_pdu
from tests.wire.services.conftest import play

pytestmark = pytest.mark.wire


@pytest.mark.usefixtures("unhurried")
def test_an_iboot_hangs_up_on_a_wrong_password(stack: ExitStack, tmp_path: Path) -> None:
    pdu = stack.enter_context(running_pdu(tmp_path, "iboot", outlets=1))
    address = {"address": "127.0.0.1", "port": pdu.http_port}
    control = IbootDevices(discharge_s=1)("n1", address, {"password": "not-this-one"})
    for kind in (DeviceUnreachable, WrongCredentials, WrongCredentials):
        with pytest.raises(kind, match=r"Check power\.password, and whether it restarts") as caught:
            play(control.power_state)
        assert "not-this-one" not in str(caught.value)


@pytest.mark.usefixtures("unhurried")
def test_an_iboot_that_restarts_while_it_is_asked_is_asked_again(stack: ExitStack, tmp_path: Path) -> None:
    pdu = stack.enter_context(running_pdu(tmp_path, "iboot", outlets=1))
    pdu.faults({"pdu.slow_queue": {"each_s": 600}})
    address = {"address": "127.0.0.1", "port": pdu.http_port}
    control = IbootDevices(discharge_s=1)("n1", address, {"password": PASSWORD})

    async def asked() -> PowerState:
        asking = asyncio.ensure_future(control.power_state())
        while not asking.done() and "struck" not in {entry.command for entry in pdu.received()}:
            await asyncio.sleep(0.01)
        pdu.kill()
        return await asking

    for answer in ("hung up", "Connect call failed"):
        with pytest.raises(DeviceUnreachable, match=answer):
            play(asked)


def test_an_iboot_that_says_something_else_to_a_command_is_told_with_what_to_do() -> None:
    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r")
        writer.write(b"CYCLE\r\n")
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(told, "127.0.0.1", 0) as server:
            address = {"address": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
            await IbootDevices(discharge_s=1)("n1", address, {"password": PASSWORD}).set_power(PowerVerb.OFF)

    with pytest.raises(DeviceRefused, match=r"'CYCLE'\. Look whether it is in a cycle"):
        play(story)


def test_what_is_no_iboot_and_sends_back_what_it_was_sent_tells_nobody_the_password() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\r"))
        writer.close()

    async def story() -> str:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            address = {"address": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
            control = IbootDevices(discharge_s=1)("n1", address, {"password": PASSWORD})
            assert isinstance(control, IbootOutlet)
            assert await control.power_state() is PowerState.UNKNOWN
            with pytest.raises(DeviceRefused) as caught:
                await control.set_power(PowerVerb.OFF)
            return f"{caught.value.message} {control.last_seen()['outlet']}"

    told = play(story)
    assert told.count("words that no iBoot says") == 2
    assert PASSWORD.upper() not in told.upper()


def test_an_iboot_that_answers_in_between_has_not_hung_up_twice_running() -> None:
    says = iter((b"", b"ON\r\n", b"", b"ON\r\n"))

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r")
        writer.write(next(says))
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(told, "127.0.0.1", 0) as server:
            address = {"address": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
            control = IbootDevices(discharge_s=1)("n1", address, {"password": PASSWORD})
            for _ in range(2):
                with pytest.raises(DeviceUnreachable):
                    await control.power_state()
                assert await control.power_state() is PowerState.ON

    play(story)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("pieces", [(b"O", b"FF\r\n"), (b"O", b"F", b"F"), (b"OFF",), (b"\r\n", b"OFF\r\n")])
def test_an_iboots_word_may_come_in_pieces_and_without_an_end(pieces: tuple[bytes, ...]) -> None:
    hung_up = asyncio.Event()

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        await hung_up.wait()
        writer.close()

    async def story() -> PowerState:
        async with await asyncio.start_server(told, "127.0.0.1", 0) as server:
            address = {"address": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
            control = IbootDevices(discharge_s=1)("n1", address, {"password": PASSWORD})
            try:
                await control.set_power(PowerVerb.OFF)
                return await control.power_state()
            finally:
                hung_up.set()

    assert play(story) is PowerState.OFF

"""Devices that bear one command at a time, asked by many nodes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from provisioner.core.errors import DeviceBusy
from provisioner.core.states import PowerState
from provisioner.drivers import outlet_http, outlet_iboot, outlet_turns
from provisioner.drivers.outlet_command import CommandDevices
from provisioner.drivers.outlet_feeds import FeedDevices
from provisioner.drivers.outlet_http import HttpDevices
from provisioner.drivers.outlet_iboot import IbootDevices
from provisioner.protocols.power import PowerControl, PowerVerb
from provisioner.services.children import SystemChildren
from tests.wire.services.conftest import play

pytestmark = pytest.mark.wire
LONGEST_S = 45.0

# A PDU with room for one session.
ONE_SESSION = """#!/bin/sh
mkdir "{folder}/session-$1" || { echo "$1 has no free session" >&2; exit 1; }
sleep 0.05
rmdir "{folder}/session-$1"
echo on
"""

# Each of two PDUs answers when both are asked.
BOTH_TOGETHER = """#!/bin/sh
touch "{folder}/$1"
until [ -e "{folder}/a" ] && [ -e "{folder}/b" ]; do sleep 0.01; done
echo on
"""

# It answers when it is let.
HELD = """#!/bin/sh
touch "{folder}/asked"
until [ -e "{folder}/let" ]; do sleep 0.01; done
echo on
"""


def programs(folder: Path, script: str) -> CommandDevices:
    program = folder / "pdu_mgr"
    program.write_text(script.replace("{folder}", str(folder)))
    program.chmod(0o755)
    return CommandDevices(SystemChildren(), {"pdu_mgr": program}, discharge_s=0, timeout_s=LONGEST_S)


def command(devices: CommandDevices, address: str, *outlets: int) -> PowerControl:
    return devices("n1", {"command": "pdu_mgr", "address": address, "outlets": list(outlets)}, {})


async def states(controls: list[PowerControl]) -> list[PowerState]:
    return await asyncio.gather(*(one.power_state() for one in controls))


def test_a_program_is_run_once_at_a_time_for_a_pdu_whoever_hangs_on_it(tmp_path: Path) -> None:
    devices = programs(tmp_path, ONE_SESSION)
    feeds = FeedDevices({"command": devices})
    twice = [
        {"driver": "command", "command": "pdu_mgr", "address": "a", "outlets": [outlet]} for outlet in (1, 2)
    ]
    controls = [feeds(f"n{number}", {"feeds": twice}, {}) for number in (1, 2)]
    controls.append(command(devices, "a", 3, 4))

    async def story() -> None:
        assert await states(controls) == [PowerState.ON] * 3
        await asyncio.gather(*(one.set_power(PowerVerb.ON) for one in controls))

    play(story)


def test_pdus_do_not_wait_for_one_another(tmp_path: Path) -> None:
    devices = programs(tmp_path, BOTH_TOGETHER)
    controls = [command(devices, address, 1) for address in ("a", "b")]
    assert play(lambda: states(controls)) == [PowerState.ON] * 2


def test_whoever_waits_too_long_is_told_that_the_pdu_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet_turns, "WAIT_SHARE", 0.1 / LONGEST_S)
    devices = programs(tmp_path, HELD)

    async def story() -> None:
        first = asyncio.ensure_future(command(devices, "a", 1).power_state())
        while not (tmp_path / "asked").exists():
            await asyncio.sleep(0.01)
        with pytest.raises(
            DeviceBusy, match=r"switch off on PDU a by pdu_mgr: others have asked it for 0\.1 s already\. If"
        ):
            await command(devices, "a", 2).set_power(PowerVerb.OFF)
        (tmp_path / "let").touch()
        assert await first is PowerState.ON
        assert await command(devices, "a", 2).power_state() is PowerState.ON

    play(story)


class OneByOne:
    """A server that counts how many ask it at once, and answers each after a while.

    answer: that the outlet is on
    """

    def __init__(self, answer: bytes) -> None:
        self.port = 0
        self.at_once = self.most_at_once = self.asked = 0
        self._answer = answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await reader.read(1024)
        await asyncio.sleep(0.02)  # for others to come, if they do
        self.at_once -= 1
        writer.write(self._answer)
        writer.close()


def test_an_iboot_is_asked_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_iboot, "LONGEST_COMMAND_S", LONGEST_S)

    async def story() -> None:
        iboot, devices = OneByOne(b"ON\r"), IbootDevices(discharge_s=0)
        async with iboot.running():
            address = {"address": "127.0.0.1", "port": iboot.port}
            controls = [devices("n1", address, {"password": "open-sesame"}) for _ in range(4)]
            assert await states(controls) == [PowerState.ON] * 4
        assert (iboot.asked, iboot.most_at_once) == (4, 1)

    play(story)


def test_a_web_server_is_asked_once_at_a_time_whichever_of_its_outlets_is_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outlet_http, "LONGEST_COMMAND_S", LONGEST_S)

    async def story() -> None:
        hub = OneByOne(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\non")
        async with hub.running(), httpx.AsyncClient(trust_env=False) as client:
            devices = HttpDevices(client, discharge_s=0)
            controls = []
            for number in range(4):
                url = f"http://127.0.0.1:{hub.port}/outlets/{number}"
                address = {"on": f"{url}/on", "off": f"{url}/off", "state": url}
                controls.append(devices("n1", {**address, "when_on": "on", "when_off": "off"}, {}))
            switched = (one.set_power(PowerVerb.ON) for one in controls)
            found, *_ = await asyncio.gather(states(controls), *switched)
            assert found == [PowerState.ON] * 4
        assert (hub.asked, hub.most_at_once) == (8, 1)

    play(story)

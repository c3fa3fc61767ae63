"""What a rack's watcher and a story's lab hear of an agent's commands, given by the provisioner's own client
to the agent's own HTTP face, and of sessions to a node's disk."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bmsim.sandbox.frames import AGENT_PORT, ISCSI_PORT, datagram
from bmsim.sandbox.listener import SNAP_BYTES, listen
from bmsim.sandbox.transfers import Transfers
from provisioner.agent.http_server import AgentServer
from provisioner.core.errors import DeviceUnreachable, LeaseLost, PermanentError
from provisioner.drivers.agent_client import HttpAgentClient
from provisioner.services.system import RandomIds
from tests.serving import serving
from tests.unit.agent.stage import TOKEN, Stage
from tests.wire.bmsim.traces import eventually
from tests.wire.services.segment import HOST, HOST_IF, NODE, NODE_MAC, Segment, segment

pytestmark = pytest.mark.wire

DEADLINE_S = 60.0
CHAP_PASSWORD = "c0ffee00" * 4


@pytest.fixture
def network() -> Iterator[Segment]:
    with segment() as made:
        yield made


@contextmanager
def served(network: Segment, make: Callable[[], Any]) -> Iterator[None]:
    """A server of Python's at the node's end."""
    with network.at_node():
        server = make()
    with serving(server):
        yield


@pytest.fixture
def agent(network: Segment, tmp_path: Path) -> Iterator[None]:
    stage = Stage(tmp_path)
    try:
        with served(
            network, lambda: AgentServer((NODE, AGENT_PORT), token=TOKEN, board=stage.board, status=dict)
        ):
            yield
    finally:
        stage.close()


def told(story: Callable[[Callable[[int], HttpAgentClient]], Awaitable[None]]) -> None:
    """story: given who makes a client of a fence."""

    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(trust_env=False) as http:
            await story(lambda fence: HttpAgentClient(NODE, AGENT_PORT, TOKEN, fence, http, RandomIds()))

    asyncio.run(bounded())


def hear(ear: socket.socket, transfers: Transfers) -> None:
    """All that has passed by now."""
    with suppress(BlockingIOError):
        while True:
            packet = datagram(ear.recv(SNAP_BYTES))
            if packet is not None:
                transfers.see(packet)


@pytest.mark.parametrize("broken_off", [True, False])
def test_a_watcher_hears_when_a_session_to_a_disk_ends(network: Segment, broken_off: bool) -> None:
    noted: list[tuple[str, ...]] = []

    def note(node: str, device: str, command: str, sender: str, result: str = "ok", /, **args: Any) -> None:
        noted.append((node, device, command, sender, result))

    answer = bytes((0x23, 0x87)) + bytes(46)  # RFC 7143 §11.13: logged in
    with network.at_node():
        target = socket.create_server((NODE, ISCSI_PORT))
    with target, listen(HOST_IF) as ear:
        with socket.create_connection((NODE, ISCSI_PORT)) as initiator, target.accept()[0] as session:
            port = initiator.getsockname()[1]
            session.sendall(answer)
            assert initiator.recv(48, socket.MSG_WAITALL) == answer
            initiator.sendall(b"H" * 9000)  # what it writes is not listened to
            if broken_off:
                initiator.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            initiator.close()
            with suppress(ConnectionResetError):
                while session.recv(9000):
                    pass
        hear(ear, Transfers({NODE_MAC: "n1"}, note))
    session_of = f"{HOST}:{port}"
    assert noted == [("n1", "iscsi", command, session_of, "ok") for command in ("login", "close")]


def test_a_watcher_hears_each_command_and_what_came_of_it(network: Segment, agent: None) -> None:
    noted: list[tuple[str, ...]] = []

    def note(node: str, device: str, command: str, sender: str, result: str = "ok", /, **args: Any) -> None:
        noted.append((node, device, command, sender.partition(":")[0], result, args["command"]))

    async def story(client: Callable[[int], HttpAgentClient]) -> None:
        await client(7).run("note", {"text": "a"}, timeout_s=DEADLINE_S)
        await client(8).run("note", {"text": "b" * 20_000}, timeout_s=DEADLINE_S)  # in many packets
        with pytest.raises(LeaseLost):
            await client(7).run("note", {"text": "c"}, timeout_s=DEADLINE_S)
        with pytest.raises(DeviceUnreachable):  # it tells nothing of itself
            await client(8).status()

    with listen(HOST_IF) as ear:
        told(story)
        hear(ear, Transfers({NODE_MAC: "n1"}, note))
    given = ("n1", "agent", "command", HOST)
    assert noted == [(*given, "ok", "note"), (*given, "ok", "note"), (*given, "refused: 403", "note")]


def test_the_lab_hears_the_secrets_that_pass(network: Segment, agent: None, tmp_path: Path) -> None:
    async def story(client: Callable[[int], HttpAgentClient]) -> None:
        with pytest.raises(PermanentError):  # this agent exports nothing
            await client(7).run(
                "note", {"iqn": "iqn.n1", "chap_password": CHAP_PASSWORD}, timeout_s=DEADLINE_S
            )

    told_file = tmp_path / "told"

    def heard() -> set[str]:
        return {json.loads(line)["secret"] for line in told_file.read_text().splitlines()[1:]}

    program = [sys.executable, "-m", "scenarios.runner.machine.wire_secrets"]
    with told_file.open("wb") as out, subprocess.Popen(program, stdin=subprocess.PIPE, stdout=out) as ear:
        try:
            assert ear.stdin is not None
            ear.stdin.write(json.dumps({"interface": HOST_IF}).encode())
            ear.stdin.close()
            eventually("it listens", lambda: told_file.read_text() == "ready\n")
            told(story)
            eventually("it has heard both", lambda: heard() == {TOKEN, CHAP_PASSWORD})
        finally:
            ear.kill()

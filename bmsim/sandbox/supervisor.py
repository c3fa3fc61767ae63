"""Sets a rack up, keeps its BMCs running, takes orders. Child of the rack's process 1 (`init`)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import libvirt

from bmsim.devices.cabling import Cabling
from bmsim.rack.state import RackState
from bmsim.sandbox import libvirtd
from bmsim.sandbox.bmc_processes import BmcProcesses
from bmsim.sandbox.child import DidNotStart
from bmsim.sandbox.feeds import Feeds
from bmsim.sandbox.firmware import keep_trying
from bmsim.sandbox.network import lay_wires
from bmsim.sandbox.orders import Orders
from bmsim.sandbox.pdu_processes import PduProcesses
from bmsim.sandbox.watching import start_watching

STRUCK_POLL_S = 0.5
"""How late the audit log may tell of messages that were lost."""


class Supervisor:
    def __init__(self, state: RackState, *, kvm: bool) -> None:
        self._state = state
        self._rack = state.rack()
        self._kvm = kvm
        self._libvirtd_pid = 0
        self._cabling = Cabling(
            {
                node.name: [(feed.pdu, feed.outlet) for feed in node.outlets]
                for node in self._rack.nodes
                if node.outlets
            }
        )
        self._orders = Orders(self._rack, state, self._cabling)
        self._one_at_a_time = asyncio.Lock()
        self._bmcs = BmcProcesses(self._rack, state, say)
        self._feeds = Feeds(
            *(self._rack, self._cabling, self._bmcs, self._orders, self._one_at_a_time),
            note=self._orders.note,
            say=say,
        )
        self._stop = asyncio.Event()

    def set_up(self) -> None:
        """Everything that stands still: folders, wires, machines."""
        libvirtd.cover_folders()
        lay_wires(self._rack)
        self._libvirtd_pid = libvirtd.start_libvirtd()
        libvirtd.define_machines(self._rack, self._state, kvm=self._kvm)

    async def serve(self, ready: int, owner: int | None) -> None:
        """BMCs and orders, until told to stop, or until the owner's end of its pipe is closed."""
        loop = asyncio.get_running_loop()
        if owner is not None:
            loop.add_reader(owner, self._stop.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work(ready))
            await self._stop.wait()
            work.cancel()

    async def _work(self, ready: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(libvirtd.keep_libvirtd(self._libvirtd_pid, say))
            for node in self._rack.nodes:
                if node.firmware == "uefi":
                    log = self._state.console_log(node.name)
                    group.create_task(keep_trying(log, partial(libvirtd.restart, node.name)))
            await start_watching(self._rack, self._state, group, say)
            group.create_task(self._look_at_wires())
            await PduProcesses(self._rack, self._state, say, self._feeds.switched).start_all(group)
            await self._bmcs.start_all(group)
            group.create_task(self._feeds.follow())
            server = await asyncio.start_unix_server(self._answer, self._state.control_socket)
            os.write(ready, b"ready\n")
            os.close(ready)
            async with server:
                await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            order = json.loads(await reader.readline())
            # libvirt's calls block; the BMCs have to be looked after meanwhile.
            async with self._one_at_a_time:
                answer = await asyncio.to_thread(self._orders.obey, order)
            self._feeds.look()
        except (libvirt.libvirtError, OSError, ValueError, KeyError) as error:
            answer = {"error": str(error)}
        writer.write(json.dumps(answer).encode() + b"\n")
        with suppress(ConnectionError):  # who asked needn't wait for the answer
            await writer.drain()
        writer.close()
        if answer.get("stopping"):
            self._stop.set()

    async def _look_at_wires(self) -> None:
        while True:
            await asyncio.sleep(STRUCK_POLL_S)
            async with self._one_at_a_time:
                await asyncio.to_thread(self._orders.wires.look)


def _single(failed: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    """The exceptions of a group and of the groups in it."""
    for error in failed.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """argv: state folder, "kvm" or "tcg", number of the descriptor to say "ready" on, and that of the owner's
    pipe if there is one."""
    folder, accelerator, ready, *owner = sys.argv[1:]
    supervisor = Supervisor(RackState(Path(folder)), kvm=accelerator == "kvm")
    try:
        supervisor.set_up()
        asyncio.run(supervisor.serve(int(ready), int(owner[0]) if owner else None))
    except* (subprocess.CalledProcessError, OSError, DidNotStart, libvirt.libvirtError) as failed:
        for error in _single(failed):
            said = getattr(error, "stderr", None) or ""
            say(f"{error} {said if isinstance(said, str) else said.decode(errors='replace')}".strip())
        sys.exit(1)

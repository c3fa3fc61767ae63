"""`tile-monitor` on a compute host of the model: the provisioner's own driver of it runs unchanged."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from subprocess import DEVNULL

from bmsim import tile_monitor as program
from provisioner.core.errors import PermanentError
from provisioner.protocols.children import Argument, Child, ChildResult, ChildTimedOut
from scenarios.runner.model.children import ChildKilled
from scenarios.runner.model.ipmitool import START_S, RunsChildren
from scenarios.runner.model.tile import Reply, TileSystem
from scenarios.runner.model.wires import Link, Wires

RESEND_S = 1.0
"""TCP sends a lost segment again after about this (RFC 6298 §2.1)."""


class ModelTileMonitor:
    """`provisioner.protocols.children.Children` of one compute host.

    children: of the process that starts it
    link_to:  the wire to whoever has an address
    board:    by its address; None when none is up there
    sender:   how devices name this process in their audit log
    """

    def __init__(
        self,
        children: RunsChildren,
        wires: Wires,
        link_to: Callable[[str], Link],
        board: Callable[[str], TileSystem | None],
        sender: str,
    ) -> None:
        self._children = children
        self._wires = wires
        self._link_to = link_to
        self._board = board
        self._sender = sender

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._children.run("tile-monitor", self._run([str(word) for word in argv[1:]]))
        except TimeoutError:
            raise ChildTimedOut("") from None
        except ChildKilled:
            return ChildResult(-signal.SIGKILL, "", "")

    def started(
        self, argv: Sequence[Argument], *, stdin: int = DEVNULL
    ) -> AbstractAsyncContextManager[Child]:
        raise PermanentError(f"start {argv[0]}", answer="the model's tile-monitor runs to its end")

    async def _run(self, words: Sequence[str]) -> ChildResult:
        await asyncio.sleep(START_S)
        try:
            order = program.parsed(words)
        except program.WrongUse as error:
            return ChildResult(program.USAGE, "", f"tile-monitor: {error}")
        printed, complained = "", ""
        for command in order.commands:
            reply = await self._ask(order.address, command)
            if reply is None:
                told = f"tile-monitor: {order.address} doesn't answer: timed out"
                return ChildResult(program.UNREACHABLE, printed, told)
            printed, complained = printed + reply.out, complained + reply.err
            if reply.code:
                return ChildResult(reply.code, printed, complained)
        return ChildResult(0, printed, complained)

    async def _ask(self, address: str, command: Sequence[str]) -> Reply | None:
        done: list[Reply] = []

        def serve() -> Reply | None:
            """Once, however often its segments come."""
            board = self._board(address)
            if board is not None and not done:
                done.append(board.run(command, self._sender))
            return done[0] if done and board is not None else None

        link = self._link_to(address)
        return await self._wires.ask(link, serve, timeout_s=program.CONNECT_S, resend_s=RESEND_S)

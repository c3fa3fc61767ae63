"""`tile-monitor` on a compute host of the model: the provisioner's own driver of it runs unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bmsim import tile_monitor as program
from provisioner.protocols.children import Argument, ChildResult
from scenarios.runner.model.program import ModelProgram, RunsChildren
from scenarios.runner.model.tile import Reply, TileSystem
from scenarios.runner.model.wires import Link, Wires

RESEND_S = 1.0
"""TCP sends a lost segment again after about this (RFC 6298 §2.1)."""


class ModelTileMonitor(ModelProgram):
    """As it speaks to boards over the model's wires.

    link_to:  the wire to whoever has an address
    board:    by its address; None when none is up there
    sender:   how devices name this process in their audit log
    """

    name = "tile-monitor"

    def __init__(
        self,
        children: RunsChildren,
        wires: Wires,
        link_to: Callable[[str], Link],
        board: Callable[[str], TileSystem | None],
        sender: str,
    ) -> None:
        super().__init__(children)
        self._wires = wires
        self._link_to = link_to
        self._board = board
        self._sender = sender

    async def _run(self, argv: Sequence[Argument]) -> ChildResult:
        try:
            order = program.parsed([str(word) for word in argv[1:]])
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

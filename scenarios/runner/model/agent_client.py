"""An agent's client on a compute host of the model: `HttpAgentClient` without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from provisioner.agent import VERSION
from provisioner.core.errors import (
    DeviceBusy,
    DeviceUnreachable,
    LeaseLost,
    PermanentError,
    ProvisionerError,
    TransientError,
)
from provisioner.drivers.agent_client import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    LONG_POLL_S,
    REPEAT_S,
    SILENCE_S,
)
from provisioner.protocols.agent import AgentStatus
from provisioner.protocols.ids import Ids
from scenarios.runner.model.agent import Command, ModelAgent, Refusal
from scenarios.runner.model.wires import Link, Wires

T = TypeVar("T")

RETRANSMIT_S = 1.0
"""TCP sends a lost segment again after about this (RFC 6298 §2.1)."""


class Port(Protocol):
    """What lies behind a node's address at this moment."""

    def agent_at(self, address: str) -> ModelAgent | None:
        """The agent that listens there."""
        ...

    def refuses_at(self, address: str) -> bool:
        """Whether a system runs there that answers: connection refused."""
        ...


class ModelAgentClient:
    """`provisioner.protocols.agent.AgentClient` for one node, one token and one fence."""

    def __init__(
        self,
        wires: Wires,
        port: Port,
        link: Link,
        address: str,
        token: str,
        fence: int,
        sender: str,
        ids: Ids,
    ) -> None:
        self._wires = wires
        self._port = port
        self._link = link
        self._address = address
        self._device = f"agent at {address}"
        self._token = token
        self._fence = fence
        self._sender = sender
        self._ids = ids

    async def status(self) -> AgentStatus:
        return await self._ask("ask for its status", _status)

    async def run(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float,
        progress: Callable[[float], None] | None = None,
    ) -> Mapping[str, Any]:
        id, tried = self._ids.uuid(), f"run {name}"
        try:
            async with asyncio.timeout(timeout_s):
                command = await self._give(tried, id, name, params)
                while command.running:
                    command = await self._wait(tried, id)
        except TimeoutError:
            await self._cancel(id)
            raise TransientError(
                tried, device=self._device, answer=f"not done after {timeout_s:.0f} s"
            ) from None
        except asyncio.CancelledError:
            await self._cancel(id)
            raise
        if command.error is not None:
            raise self._failure(tried, command.error.code, str(command.error))
        if progress is not None:
            progress(1.0)
        return command.ended.result()

    async def _give(self, tried: str, id: str, name: str, params: Mapping[str, Any]) -> Command:
        while True:
            try:
                return await self._insist(
                    tried, lambda agent: agent.give(id, name, params, self._fence, self._sender)
                )
            except _Busy as busy:
                with suppress(_Unknown):
                    await self._wait("wait for the command before it", busy.running)

    async def _wait(self, tried: str, id: str) -> Command:
        """A long poll: the command as it is when it ended, or after LONG_POLL_S."""
        agent = self._port.agent_at(self._address)
        command = agent.find(id) if agent is not None else None
        if command is not None and command.running:
            await asyncio.wait((command.ended,), timeout=LONG_POLL_S)
            if command.running and agent is not None and not agent.alive:
                # Nobody resets the connection of a machine without power.
                await asyncio.sleep(ANSWER_TIMEOUT_S)

        def look(agent: ModelAgent) -> Command | Refusal:
            return agent.find(id) or Refusal(404, "unknown-command", "no such command")

        return await self._insist(tried, look)

    async def _insist(self, tried: str, serve: Callable[[ModelAgent], T | Refusal]) -> T:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + SILENCE_S
        while True:
            try:
                return await self._ask(tried, serve)
            except DeviceUnreachable:
                if loop.time() + REPEAT_S >= end_s:
                    raise
            await asyncio.sleep(REPEAT_S)

    async def _ask(self, tried: str, serve: Callable[[ModelAgent], T | Refusal]) -> T:
        """One request on a connection of its own. Raises what the answer means."""
        await self._cross(tried, to_node=True)
        waited_s = 0.0
        while (agent := self._port.agent_at(self._address)) is None:
            if self._port.refuses_at(self._address):
                raise self._unreachable(tried, "connection refused")
            if waited_s >= CONNECT_TIMEOUT_S:
                raise self._unreachable(tried, "connect timed out")
            await asyncio.sleep(RETRANSMIT_S)  # its kernel asks again
            waited_s += RETRANSMIT_S
        answer: T | Refusal
        if agent.admits(self._token):
            answer = serve(agent)
        else:
            answer = Refusal(401, "unauthorized")
        await self._cross(tried, to_node=False)
        if isinstance(answer, Refusal):
            raise self._refusal(tried, answer)
        return answer

    async def _cross(self, tried: str, *, to_node: bool) -> None:
        """One segment over the wire, sent again while it gets lost."""
        waited_s = 0.0
        while not (journey := self._wires.journey(self._link, to_node)):
            await asyncio.sleep(RETRANSMIT_S)
            waited_s += RETRANSMIT_S
            if waited_s >= (CONNECT_TIMEOUT_S if to_node else ANSWER_TIMEOUT_S):
                raise self._unreachable(tried, "timed out")
        await asyncio.sleep(journey[0])

    def _refusal(self, tried: str, refusal: Refusal) -> ProvisionerError:
        if refusal.code == "stale-fence":
            return LeaseLost(tried, device=self._device, answer=refusal.detail)
        if refusal.code == "busy":
            return _Busy(tried, self._device, refusal.detail, running=refusal.running)
        if refusal.code == "unknown-command":
            return _Unknown(tried, device=self._device, answer="it has restarted, and forgot the command")
        if refusal.status == 401:
            return self._unreachable(tried, "an agent of an earlier boot answers, with another token")
        error = PermanentError(
            tried, device=self._device, answer=f"refused ({refusal.code}): {refusal.detail}"
        )
        error.code = refusal.code
        return error

    def _failure(self, tried: str, code: str, message: str) -> ProvisionerError:
        if code == "superseded":
            return LeaseLost(tried, device=self._device, answer=message)
        kind = TransientError if code == "cancelled" else PermanentError
        failure = kind(tried, device=self._device, answer=message)
        failure.code = code
        return failure

    def _unreachable(self, tried: str, answer: str) -> DeviceUnreachable:
        return DeviceUnreachable(tried, device=self._device, answer=answer)

    async def _cancel(self, id: str) -> None:
        agent = self._port.agent_at(self._address)
        if agent is not None and agent.admits(self._token) and not self._wires.cut(self._link):
            agent.cancel(id, self._fence)


class _Busy(DeviceBusy):
    """Another command is running."""

    def __init__(self, tried: str, device: str, answer: str, *, running: str) -> None:
        self.running = running
        super().__init__(tried, device=device, answer=answer)


class _Unknown(TransientError):
    """The agent knows nothing of the command."""


def _status(agent: ModelAgent) -> AgentStatus:
    return AgentStatus(node_id=agent.node_id, boot_id=agent.boot_id, fence=agent.fence, version=VERSION)

"""Commands to the agent in a deploy ramdisk, over HTTP (docs/agent-protocol.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from provisioner.core.errors import (
    DeviceBusy,
    DeviceUnreachable,
    LeaseLost,
    PermanentError,
    ProvisionerError,
    TransientError,
)
from provisioner.core.readable import all_readable
from provisioner.protocols.agent import AgentStatus
from provisioner.protocols.ids import Ids

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 10.0
LONG_POLL_S = 20.0
PROGRESS_POLL_S = 1.0  # the agent tells of progress only when asked
SILENCE_S = 6.0
"""The agent may be out of reach for so long. Commands are idempotent by id, so asking again is safe."""

CANCEL_TIMEOUT_S = 2.0
REPEAT_S = 0.5
MAX_ANSWER_BYTES = 2**20


class HttpAgentClient:
    """`protocols.agent.AgentClient` for one node, one token and one fence."""

    def __init__(
        self, address: str, port: int, token: str, fence: int, client: httpx.AsyncClient, ids: Ids
    ) -> None:
        """client: without proxies (`trust_env=False`); shared among agents."""
        self._url = f"http://{address}:{port}"
        self._device = f"agent at {address}:{port}"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._fence = fence
        self._client = client
        self._ids = ids

    async def status(self) -> AgentStatus:
        tried = "ask for its status"
        answer = await self._ask(tried, "GET", "/v1/status")
        try:
            return AgentStatus(
                node_id=str(answer["node"]),
                boot_id=str(answer["boot_id"]),
                fence=int(answer["fence"]),
                version=str(answer["version"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreachable(tried, f"its status can't be read: {error!r}") from error

    async def run(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float,
        progress: Callable[[float], None] | None = None,
    ) -> Mapping[str, Any]:
        command = f"/v1/commands/{self._ids.uuid()}"
        tried = f"run {name}"
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._give(tried, command, {"name": name, "params": params})
                while answer.get("state") == "running":
                    _report(answer, progress)
                    wait_s = LONG_POLL_S if progress is None else PROGRESS_POLL_S
                    answer = await self._insist(tried, "GET", f"{command}?wait_s={wait_s:g}")
        except TimeoutError:
            await self._cancel(command)
            raise TransientError(
                tried, device=self._device, answer=f"not done after {timeout_s:.0f} s"
            ) from None
        except asyncio.CancelledError:
            await self._cancel(command)
            raise
        if answer.get("state") == "failed":
            raise self._failure(tried, answer.get("error") or {})
        result = answer.get("result")
        return result if isinstance(result, dict) else {}

    async def _give(self, tried: str, command: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Hands the command over, after one that still runs: of this owner, since a newer fence ends
        those of older ones."""
        body = {**content, "fence": self._fence}
        while True:
            try:
                return await self._insist(tried, "PUT", command, body)
            except _Busy as busy:
                with suppress(_Unknown):
                    path = f"/v1/commands/{busy.running}?wait_s={LONG_POLL_S:g}"
                    await self._insist("wait for the command before it", "GET", path)

    async def _insist(
        self, tried: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """As `_ask`, and again while the agent is silent, for SILENCE_S."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + SILENCE_S
        while True:
            try:
                return await self._ask(tried, method, path, body)
            except DeviceUnreachable:
                if loop.time() + REPEAT_S >= end_s:
                    raise
            await asyncio.sleep(REPEAT_S)

    async def _ask(
        self, tried: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """One request. Raises what the answer means."""
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        if "wait_s=" in path:
            timeout = httpx.Timeout(LONG_POLL_S + ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            async with self._client.stream(
                method, self._url + path, json=body, headers=self._headers, timeout=timeout
            ) as response:
                data = await _bounded(response)
        except httpx.HTTPError as error:
            raise self._unreachable(tried, str(error) or type(error).__name__) from error
        try:
            said = json.loads(data)
            answer = all_readable(said) if isinstance(said, dict) else None
        except (ValueError, RecursionError):
            answer = None
        if answer is None:
            raise self._unreachable(tried, f"it answered {response.status_code} without JSON")
        if response.is_success:
            return answer
        raise self._refusal(tried, response.status_code, answer)

    def _refusal(self, tried: str, status: int, problem: Mapping[str, Any]) -> ProvisionerError:
        code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))[:500]
        if code == "stale-fence":
            return LeaseLost(tried, device=self._device, answer=detail)
        if code == "busy":
            return _Busy(tried, self._device, detail, running=str(problem.get("running", "")))
        if code == "unknown-command":
            return _Unknown(tried, device=self._device, answer="it has restarted, and forgot the command")
        if status == 401:
            # The token changes with each publication: what answers was booted by an earlier one.
            return self._unreachable(tried, "an agent of an earlier boot answers, with another token")
        if status >= 500:
            return self._unreachable(tried, f"it answered {status} {detail}")
        error = PermanentError(tried, device=self._device, answer=f"refused ({code or status}): {detail}")
        error.code = code or error.code
        return error

    def _failure(self, tried: str, error: Mapping[str, Any]) -> ProvisionerError:
        code, message = str(error.get("code", "failed")), str(error.get("message", ""))[:2000]
        if code == "superseded":
            return LeaseLost(tried, device=self._device, answer=message)
        kind = TransientError if code == "cancelled" else PermanentError
        failure = kind(tried, device=self._device, answer=message)
        failure.code = code
        return failure

    def _unreachable(self, tried: str, answer: str) -> DeviceUnreachable:
        return DeviceUnreachable(tried, device=self._device, answer=answer)

    async def _cancel(self, command: str) -> None:
        """Nobody waits for it any more. In vain if the agent is gone, and then it runs no more anyway."""
        with suppress(ProvisionerError, TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await self._ask("cancel a command", "DELETE", f"{command}?fence={self._fence}")


class _Busy(DeviceBusy):
    """Another command is running."""

    def __init__(self, tried: str, device: str, answer: str, *, running: str) -> None:
        self.running = running
        super().__init__(tried, device=device, answer=answer)


class _Unknown(TransientError):
    """The agent knows nothing of the command."""


def _report(answer: Mapping[str, Any], progress: Callable[[float], None] | None) -> None:
    view = answer.get("progress")
    if progress is not None and isinstance(view, dict) and view.get("total_bytes"):
        progress(min(1.0, view["done_bytes"] / view["total_bytes"]))


async def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > MAX_ANSWER_BYTES:
            raise httpx.ReadError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(data)

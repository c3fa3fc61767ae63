from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    node_id: str
    boot_id: str  # changes with every boot of the ramdisk
    fence: int
    version: str  # of its commands


class AgentClient(Protocol):
    """The agent in a node's deploy ramdisk (docs/agent-protocol.md).

    Raises DeviceUnreachable (no agent there), LeaseLost (it has seen a newer fence),
    PermanentError with the agent's own code and message (the command failed),
    TransientError (the agent restarted and knows nothing of the command).
    """

    async def status(self) -> AgentStatus:
        """One attempt, at most `connect_timeout_s`."""
        ...

    async def run(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float,
        progress: Callable[[float], None] | None = None,
    ) -> Mapping[str, Any]:
        """Runs one command to its end and returns its result."""
        ...

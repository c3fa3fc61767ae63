from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from provisioner.core.errors import HostLacks
from provisioner.protocols.power import Console


class BoardMonitor(Protocol):
    """Commands to boards that have no BMC and no agent, by the monitor that their vendor made for them."""

    longest_command_s: float
    """What `run` takes at most, even when the board is dead."""

    async def run(self, address: str, commands: Sequence[Sequence[str]]) -> str:
        """Runs commands on the board, each after the one before it has ended; what they printed. Raises
        DeviceUnreachable when the board doesn't answer, or when one of them failed: the monitor's exit code
        doesn't tell which. HostLacks when this host has no monitor."""
        ...

    def console(self, address: str) -> Console:
        """What the board's kernel says."""
        ...


class NoBoardMonitor:
    """Of a host that has none."""

    longest_command_s = 0.0

    async def run(self, address: str, commands: Sequence[Sequence[str]]) -> str:
        raise _none()

    def console(self, address: str) -> Console:
        raise _none()


def _none() -> HostLacks:
    return HostLacks(
        "give a board a command",
        answer="this host has no tile-monitor",
        advice="Name the vendor's program in tilera.monitor of the configuration",
    )

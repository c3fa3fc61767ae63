from __future__ import annotations

from typing import Protocol


class SshProbe(Protocol):
    async def banner(self, address: str) -> str | None:
        """The identification line of an SSH server at `address` (RFC 4253 §4.2), or None when none
        answers within a few seconds. Sends nothing but its own identification line."""
        ...


class PingProbe(Protocol):
    async def answers(self, address: str) -> bool:
        """Whether `address` answers a ping within a second. Raises PermanentError when this host may not
        send any."""
        ...

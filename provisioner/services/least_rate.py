"""Whether a server sends fast enough: one that never stops, and never comes to an end, stalls nothing that a
timeout would notice."""

from __future__ import annotations

LEAST_BYTES_PER_S = 64 * 2**10
JUDGED_S = 60.0
"""Of waiting. What the receiver does with the bytes meanwhile isn't the server's time."""


class LeastRate:
    """Of one server."""

    def __init__(self) -> None:
        self._bytes = 0
        self._waited_s = 0.0

    def came(self, size_bytes: int, waited_s: float) -> str:
        """So much, after so long. Empty; or how much too little came, once a minute is over."""
        self._bytes += size_bytes
        self._waited_s += waited_s
        if self._waited_s < JUDGED_S:
            return ""
        came, waited = self._bytes, self._waited_s
        self._bytes, self._waited_s = 0, 0.0
        if came >= LEAST_BYTES_PER_S * waited:
            return ""
        return f"{came} bytes came in {waited:.0f} s, {LEAST_BYTES_PER_S} a second are the least"

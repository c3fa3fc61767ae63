"""Serial over LAN (§15): the BMC's end of the line, one unacknowledged packet at a time.

A packet: sequence number, acknowledged sequence number, accepted character count, operation or status,
then characters.
"""

from __future__ import annotations

from dataclasses import dataclass

from bmsim.devices.bmc import MAX_SOL_PAYLOAD_BYTES

RETRY_S = 0.5
"""A packet is sent again after this, for as long as the session lasts: a captured console has no gaps."""

DEACTIVATING = 0x10

GOODBYE = bytes((0, 0, 0, DEACTIVATING))


@dataclass(frozen=True, slots=True)
class Received:
    """typed: what the client typed. answer: the packet to acknowledge it with."""

    typed: bytes = b""
    answer: bytes | None = None


class SolLine:
    """Times are any seconds that never go back."""

    def __init__(self) -> None:
        self._sequence = 0
        self._waiting = b""  # characters sent and not acknowledged
        self._sent_at_s = 0.0
        self._their_sequence = 0
        self._their_count = 0

    @property
    def idle(self) -> bool:
        """Whether the next characters may be sent."""
        return not self._waiting

    def send(self, characters: bytes, now_s: float) -> bytes:
        """The packet for at most MAX_SOL_PAYLOAD_BYTES characters; only when idle."""
        if self._waiting or not 0 < len(characters) <= MAX_SOL_PAYLOAD_BYTES:
            raise ValueError("one packet at a time, of 1 to 255 characters")
        self._sequence = self._sequence % 15 + 1  # 0 means: no characters
        self._waiting = characters
        return self._packet(now_s)

    def due_at_s(self) -> float | None:
        """When `again` is to be called; None: never, as things are."""
        return self._sent_at_s + RETRY_S if self._waiting else None

    def again(self, now_s: float) -> bytes | None:
        """The packet that wasn't acknowledged in time, if there is one."""
        due_s = self.due_at_s()
        return self._packet(now_s) if due_s is not None and now_s >= due_s else None

    def receive(self, packet: bytes) -> Received:
        """One packet of the client; anything too short is ignored."""
        if len(packet) < 4:
            return Received()
        sequence, acknowledged, count = packet[0] & 0x0F, packet[1] & 0x0F, packet[2]
        if acknowledged and acknowledged == self._sequence:
            self._accepted(count)
        return self._typed(sequence, packet[4 : 4 + MAX_SOL_PAYLOAD_BYTES]) if sequence else Received()

    def _accepted(self, count: int) -> None:
        rest = self._waiting[count:]
        if rest and count:
            # Accepted in part (§15.11): the rest goes as a packet of its own, when the next retry is due.
            self._sequence = self._sequence % 15 + 1
        self._waiting = rest

    def _typed(self, sequence: int, characters: bytes) -> Received:
        # A packet sent again may carry more characters than the first time (§15.11).
        fresh = characters[self._their_count :] if sequence == self._their_sequence else characters
        self._their_sequence, self._their_count = sequence, len(characters)
        return Received(fresh, bytes((0, sequence, len(characters), 0)))

    def _packet(self, now_s: float) -> bytes:
        self._sent_at_s = now_s
        return bytes((self._sequence, 0, 0, 0)) + self._waiting

"""Blocks sent before those before them are acknowledged, to clients that bear it and never ask for it.

GRUB takes 1 KiB at a time and knows no windows. It acknowledges each block and takes the next whenever that
comes, in order; what comes out of order it drops (2.06, grub-core/net/tftp.c). So each block's way there and
back, and the wait for a processor at both ends, pass beside those of others. Where one gets lost, fewer go
at once.
"""

from __future__ import annotations

import struct
from typing import Any

from tftpy.TftpPacketTypes import TftpPacketACK, TftpPacketERR
from tftpy.TftpShared import TftpException
from tftpy.TftpStates import TftpState

BLOCKS = 8
"""On their way at once: the receive ring of a small NIC holds them."""

DATA = 3  # RFC 1350 §5
BLOCK_NUMBERS = 2**16  # then they begin anew


class Ahead(TftpState):  # type: ignore[misc]
    """From the acknowledgement of the options to that of the last block."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._block_bytes = context.getBlocksize()
        self._size_bytes = context.fileobj.seek(0, 2)
        self._last = self._size_bytes // self._block_bytes + 1  # shorter than the others
        self._most = BLOCKS
        self._acknowledged = self._sent = self._furthest = 0

    def handle(self, packet: Any, address: str, port: int) -> Any:
        if isinstance(packet, TftpPacketERR):
            raise TftpException(f"the client gave up: {packet}")
        if not isinstance(packet, TftpPacketACK):
            return self
        more = (packet.blocknumber - self._acknowledged) % BLOCK_NUMBERS
        if more > self._furthest - self._acknowledged:
            return self  # of a block that came twice
        self._acknowledged += more
        self._sent = max(self._sent, self._acknowledged)
        if self._acknowledged == self._last:
            return None
        self._send()
        return self

    def resendLast(self) -> None:
        if not self._furthest:
            super().resendLast()
            return
        self._most = max(1, self._most // 2)
        self._sent = self._acknowledged
        self._send()

    def _send(self) -> None:
        while self._sent < min(self._acknowledged + self._most, self._last):
            if self._sent > self._acknowledged and (self._sent + 1) % BLOCK_NUMBERS == 0:
                break  # numbers begin anew: were one lost across it, the client would take new blocks for old
            self._send_block(self._sent + 1)

    def _send_block(self, block: int) -> None:
        file = self.context.fileobj
        file.seek((block - 1) * self._block_bytes)
        data = file.read(self._block_bytes)
        self.context.sock.send(struct.pack(">HH", DATA, block % BLOCK_NUMBERS) + data)
        self._sent, self._furthest = block, max(self._furthest, block)
        self.context.metrics.bytes = min(self._furthest * self._block_bytes, self._size_bytes)

"""TFTP's windowsize option (RFC 7440) as states of tftpy's: several blocks are on their way at once.

Without it each block of some 1.4 KiB waits for the one before to be acknowledged, which on a busy host, or a
long wire, takes all the time.
"""

from __future__ import annotations

import struct
from typing import Any

from tftpy.TftpPacketTypes import TftpPacketACK, TftpPacketERR, TftpPacketRRQ
from tftpy.TftpShared import TftpException
from tftpy.TftpStates import TftpState, TftpStateServerRecvRRQ, TftpStateServerStart

from provisioner.services.tftp_ahead import BLOCK_NUMBERS, DATA, Ahead

MOST_BLOCKS = 32
"""Of a window: what small clients have room for."""


class Start(TftpStateServerStart):  # type: ignore[misc]
    def __init__(self, context: Any, *, ahead: bool = False) -> None:
        """ahead: the client bears blocks that it hasn't made room for by an acknowledgement"""
        super().__init__(context)
        self._ahead = ahead

    def handle(self, packet: Any, address: str, port: int) -> Any:
        if isinstance(packet, TftpPacketRRQ):
            return _ReadRequest(self.context, ahead=self._ahead).handle(packet, address, port)
        return super().handle(packet, address, port)


class _ReadRequest(TftpStateServerRecvRRQ):  # type: ignore[misc]
    def __init__(self, context: Any, *, ahead: bool) -> None:
        super().__init__(context)
        self._ahead = ahead

    def returnSupportedOptions(self, options: Any) -> dict[str, Any]:
        accepted: dict[str, Any] = super().returnSupportedOptions(options)
        if "windowsize" in options and int(options["windowsize"]) >= 1:
            accepted["windowsize"] = min(int(options["windowsize"]), MOST_BLOCKS)
        return accepted

    def handle(self, packet: Any, address: str, port: int) -> Any:
        following = super().handle(packet, address, port)
        if "windowsize" in self.context.options:
            return _Windows(self.context)
        # Without options the first block is on its way already.
        return Ahead(self.context) if self._ahead and self.context.options else following


class _Windows(TftpState):  # type: ignore[misc]
    """From the acknowledgement of the options to that of the last block. Blocks are counted from 1, and on
    beyond what 16 bits can tell."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._block_bytes = context.getBlocksize()
        self._window = int(context.options["windowsize"])
        self._size_bytes = context.fileobj.seek(0, 2)
        self._last = self._size_bytes // self._block_bytes + 1  # shorter than the others, so that it is known
        self._acknowledged = self._sent = 0
        self._resent_after = -1

    def handle(self, packet: Any, address: str, port: int) -> Any:
        if isinstance(packet, TftpPacketERR):
            raise TftpException(f"the client gave up: {packet}")
        if not isinstance(packet, TftpPacketACK):
            return self
        more = (packet.blocknumber - self._acknowledged) % BLOCK_NUMBERS
        if more > self._sent - self._acknowledged:
            return self  # of an earlier window, and late
        self._acknowledged += more
        if self._acknowledged == self._last:
            return None
        if self._acknowledged < self._sent:
            # One was lost, and what follows it is wanted again (§4). That is heard once for each that came
            # after it: were each time answered, windows would double for ever.
            if self._acknowledged == self._resent_after:
                return self
            self._resent_after = self._acknowledged
        self._send()
        return self

    def resendLast(self) -> None:
        if self._sent:
            self._send()
        else:
            super().resendLast()

    def _send(self) -> None:
        file, begin = self.context.fileobj, self._acknowledged
        file.seek(begin * self._block_bytes)
        self._sent = begin
        for block in range(begin + 1, min(begin + self._window, self._last) + 1):
            data = file.read(self._block_bytes)
            self.context.sock.send(struct.pack(">HH", DATA, block % BLOCK_NUMBERS) + data)
            self._sent = block
        self.context.metrics.bytes = min(self._sent * self._block_bytes, self._size_bytes)

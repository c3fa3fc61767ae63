"""TFTP for firmware that can load its boot loader no other way. tftpy's protocol states on our event loop.

Why not tftpy's own server: its one select() loop ends when somebody asks for a file whose name isn't
ASCII, answers from any of the machine's addresses, and needs seconds to stop.
"""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO

from tftpy.TftpContexts import TftpContextServer
from tftpy.TftpShared import TftpException, TftpTimeout

from provisioner.core.errors import PermanentError
from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink, WireEvent
from provisioner.protocols.netboot import Offer
from provisioner.services import tftp_window
from provisioner.services.descriptors import SHORTAGES
from provisioner.services.quota import Quota

READ_REQUEST = b"\0\x01"
ACCESS_VIOLATION = b"\0\x05\0\x02Access violation\0"  # RFC 1350 appendix: error 2

RESEND_S = 1.0
MAX_RESENDS = 8
MAX_TRANSFERS = 256
MAX_TRANSFERS_PER_PEER = 8  # firmware has one; what it broke off stays for some seconds
MAX_REQUEST_BYTES = 512  # RFC 2347: a request with its options
REFUSED_EVERY_S = BUSY_EVERY_S = 5.0

# tftpy looks below a root before it asks for a file. There is nothing below this one.
NO_ROOT = "/nonexistent"

BROKEN = (
    TftpException,
    OSError,
    struct.error,
    ValueError,
    AssertionError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What tftpy raises on packets that no client should send."""

# tftpy logs each packet; what matters becomes an event.
logging.getLogger("tftpy").setLevel(logging.CRITICAL)


class TftpService:
    """`protocols.netboot.NetbootService` by TFTP: a node's own files, to its own addresses."""

    def __init__(self, address: str, sink: EventSink, clock: Clock, *, port: int = 69) -> None:
        self._address = address
        self._port = port
        self._sink = sink
        self._clock = clock
        self._offers: dict[str, Offer] = {}  # by the node's address
        self._by_node: dict[str, Offer] = {}
        self._transfers: dict[tuple[str, int], _Transfer] = {}
        self._refusals = Quota(clock, every_s=REFUSED_EVERY_S)
        self._pleas = Quota(clock, every_s=BUSY_EVERY_S)
        self._listener: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._listener is not None
        return int(self._listener.get_extra_info("sockname")[1])

    async def offer(self, offer: Offer) -> None:
        self._forget(offer.node_id)
        self._by_node[offer.node_id] = offer
        for address in offer.addresses:
            self._offers[address] = offer

    async def withdraw(self, node_id: str) -> None:
        self._forget(node_id)
        for transfer in list(self._transfers.values()):
            if transfer.node_id == node_id:
                transfer.end()

    def _forget(self, node_id: str) -> None:
        old = self._by_node.pop(node_id, None)
        for address in old.addresses if old else ():
            if self._offers.get(address) is old:  # not another node's by now
                del self._offers[address]

    async def __aenter__(self) -> TftpService:
        loop = asyncio.get_running_loop()
        try:
            self._listener, _ = await loop.create_datagram_endpoint(
                lambda: _Listener(self._requested, self._closed.set), local_addr=(self._address, self._port)
            )
        except OSError as error:
            raise PermanentError(
                f"listen for TFTP at {self._address}:{self._port}",
                answer=error.strerror or str(error),
                advice="Is another TFTP server running here, and is the address in the configuration ours?",
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transfer in list(self._transfers.values()):
            transfer.end()
        if self._listener is not None:
            self._listener.close()
            await self._closed.wait()

    def _requested(self, request: bytes, peer: tuple[str, int]) -> None:
        if peer in self._transfers or len(request) > MAX_REQUEST_BYTES:
            return  # a request sent again while its answer is on the way; or no request
        name = request[2:].split(b"\0", 1)[0].decode("ascii", "replace").lstrip("/")
        offer = self._offers.get(peer[0])
        if offer is None or name not in offer.tftp_files or request[:2] != READ_REQUEST:
            self._refuse(name, peer)
            return
        if fault := self._no_place(peer[0]):
            self._tell_busy(name, peer[0], fault)
            return
        try:
            transfer = _Transfer(self._address, peer, offer, name, self._clock, self._ended)
        except OSError as error:
            self._tell_busy(name, peer[0], error.strerror or str(error))
            return
        self._transfers[peer] = transfer
        transfer.begin(request)

    def _no_place(self, address: str) -> str:
        """Why not one more file can be sent to it now; empty: it can."""
        if len(self._transfers) >= MAX_TRANSFERS:
            return f"{MAX_TRANSFERS} files are being sent"
        if sum(peer == address for peer, _ in self._transfers) >= MAX_TRANSFERS_PER_PEER:
            return f"{MAX_TRANSFERS_PER_PEER} files are being sent to it"
        return ""

    def _tell_busy(self, name: str, address: str, why: str) -> None:
        """Nothing is answered: clients ask again, and take any error for the last word."""
        if self._pleas.admits(address):
            text = f"asked by TFTP for {name[:80]!r}, and isn't answered yet: {why}"
            self._emit("tftp.busy", address, text, {"file": name[:80]})

    def _refuse(self, name: str, peer: tuple[str, int]) -> None:
        if self._listener is not None:
            self._listener.sendto(ACCESS_VIOLATION, peer)
        self._tell_refused(name, peer[0], f"which isn't offered to {peer[0]}")

    def _tell_refused(self, name: str, address: str, why: str) -> None:
        if self._refusals.admits(address):
            text = f"asked by TFTP for {name[:80]!r}, {why}"
            self._emit("tftp.refused", address, text, {"file": name[:80]})

    def _ended(self, transfer: _Transfer) -> None:
        del self._transfers[transfer.peer]
        if transfer.shortage:
            self._tell_busy(transfer.name, transfer.peer[0], transfer.shortage)
        if transfer.fault:
            self._tell_refused(transfer.name, transfer.peer[0], f"which can't be read: {transfer.fault}")
        if not transfer.complete:
            return
        name, size, seconds = transfer.name, transfer.sent_bytes, transfer.seconds
        detail = {"file": name, "bytes": size, "seconds": round(seconds, 3)}
        self._emit(
            "tftp.sent", transfer.peer[0], f"{name} sent by TFTP, {size} bytes in {seconds:.1f} s", detail
        )

    def _emit(self, name: str, address: str, text: str, detail: Mapping[str, object]) -> None:
        self._sink(WireEvent(source="tftp", name=name, address=address, text=text, detail=detail))


class _Listener(asyncio.DatagramProtocol):
    def __init__(
        self, requested: Callable[[bytes, tuple[str, int]], None], closed: Callable[[], None]
    ) -> None:
        self._requested = requested
        self._closed = closed

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._requested(data, addr)


class _Transfer:
    """One file to one client, on a socket of its own (RFC 1350 §4)."""

    def __init__(
        self,
        address: str,
        peer: tuple[str, int],
        offer: Offer,
        name: str,
        clock: Clock,
        ended: Callable[[_Transfer], None],
    ) -> None:
        self.peer = peer
        self.node_id = offer.node_id
        self.name = name
        self._content = offer.tftp_files[name]
        self.complete = False
        self.fault = ""  # why the file can't be given
        self.shortage = ""  # why it can't be given now
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._resends = 0
        self._context = TftpContextServer(*peer, RESEND_S, NO_ROOT, self._open, _no_uploads, flock=False)
        self._context.state = tftp_window.Start(self._context, ahead=name in offer.tftp_ahead)
        self._context.sock.close()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._context.sock = self._socket
        self._socket.setblocking(False)
        self._socket.bind((address, 0))
        self._socket.connect(peer)  # the kernel drops what anybody else sends

    @property
    def sent_bytes(self) -> int:
        return int(self._context.metrics.bytes)

    @property
    def seconds(self) -> float:
        return self._clock.monotonic_s() - self._began_s

    def begin(self, request: bytes) -> None:
        self._loop.add_reader(self._socket, self._go_on)
        self._step(lambda: self._context.start(request))

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._socket)
        self._context.end()
        self._ended(self)

    def _open(self, name: str, **peer: object) -> BinaryIO | None:
        """None: tftpy answers that there is no such file, and the client asks no more for it."""
        if isinstance(self._content, bytes):
            return io.BytesIO(self._content)
        try:
            return self._content.open("rb")
        except OSError as error:
            if error.errno in SHORTAGES:
                self.shortage = error.strerror or str(error)
                raise  # which ends this without an answer: it asks again
            self.fault = error.strerror or str(error)
            return None

    def _go_on(self) -> None:
        self._resends = 0
        self._step(self._context.cycle)

    def _resend(self) -> None:
        self._resends += 1
        if self._resends > MAX_RESENDS:
            self.end()
        else:
            self._step(lambda: self._context.state.resendLast())

    def _step(self, step: Callable[[], None]) -> None:
        """One move of tftpy's. Whatever it makes of a malformed packet ends this transfer alone."""
        try:
            with suppress(BlockingIOError):  # the peer's packet was broken, and the kernel dropped it
                step()
        except TftpTimeout:  # the peer asks again and again for what we sent
            self._resend()
            return
        except BROKEN:
            self.end()
            return
        if self._context.state is None:
            self.complete = True
            self.end()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(RESEND_S, self._resend)


def _no_uploads(path: str, context: object) -> None:
    return None

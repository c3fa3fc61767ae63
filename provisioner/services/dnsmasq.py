"""DHCP and router advertisements for enrolled nodes, by a dnsmasq of our own."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import structlog

from provisioner.core.errors import PermanentError, TransientError
from provisioner.protocols.children import Child, Children
from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink
from provisioner.protocols.netboot import Offer
from provisioner.services.dnsmasq_config import DhcpNetwork, hosts, options, static_part
from provisioner.services.dnsmasq_log import DnsmasqLog

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 10.0
RELOAD_TIMEOUT_S = 10.0
FIRST_RESTART_S = 0.2
LAST_RESTART_S = 10.0


class DnsmasqService:
    """`protocols.netboot.NetbootService` by DHCP: each enrolled port its address and what it boots.

    Nothing it keeps is durable: leases are reservations, so that a new start may forget them.
    """

    def __init__(
        self, network: DhcpNetwork, folder: Path, children: Children, sink: EventSink, clock: Clock
    ) -> None:
        self._network = network
        self._folder = folder
        self._children = children
        self._clock = clock
        self._log = DnsmasqLog(sink, clock)
        self._offers: dict[str, Offer] = {}
        self._wanted = self._applied = 0
        self._turn = asyncio.Lock()
        self._read = asyncio.Event()  # dnsmasq has read the options, which it reads last
        self._last_words = ""
        self._has_started = False
        self._replacing = False  # its next end is ours
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> DnsmasqService:
        self._check_interface()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        (self._folder / "dnsmasq.conf").write_text(
            static_part(self._network, self._folder, user=user, group=group)
        )
        self._write_offers()
        self._supervisor = asyncio.create_task(self._supervise(), name="dnsmasq")
        try:
            await self._until_read(START_TIMEOUT_S)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def _check_interface(self) -> None:
        """dnsmasq itself would wait for the interface in silence."""
        try:
            socket.if_nametoindex(self._network.interface)
        except OSError as error:
            raise PermanentError(
                f"serve DHCP at {self._network.interface!r}",
                answer="there is no such network interface",
                advice="Set network.interface in the configuration to the one that the nodes are on",
            ) from error

    async def offer(self, offer: Offer) -> None:
        if self._offers.get(offer.node_id) == offer:
            return
        self._offers[offer.node_id] = offer
        await self._apply()

    async def withdraw(self, node_id: str) -> None:
        if self._offers.pop(node_id, None) is not None:
            await self._apply()

    async def _apply(self) -> None:
        """Returns when what is offered by now is in force. Changes that come while dnsmasq reads are
        read together, at once after that."""
        self._wanted += 1
        wanted = self._wanted
        async with self._turn:
            if self._applied >= wanted:
                return
            included = self._wanted
            self._write_offers()
            self._read.clear()
            if self._child is not None:
                # A new process each time, within a tenth of a second. Not by SIGHUP: dnsmasq 2.90 (Debian 12)
                # aborts when it rereads the options after it has served a node by them; and a reload keeps
                # leases, which keep an address from its next owner even against a reservation.
                self._replacing = True
                self._child.signal(signal.SIGKILL)
            await self._until_read(RELOAD_TIMEOUT_S)
            self._applied = included

    def _write_offers(self) -> None:
        offers = self._offers.values()
        _replace(self._folder / "hosts", hosts(offers))
        _replace(self._folder / "options", options(offers, self._network.address))

    async def _until_read(self, timeout_s: float) -> None:
        assert self._supervisor is not None
        reading = asyncio.ensure_future(self._read.wait())
        try:
            await asyncio.wait(
                (reading, self._supervisor), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            reading.cancel()
        if self._read.is_set():
            return
        if self._supervisor.done():
            self._supervisor.result()
        raise TransientError(
            "have dnsmasq read its offers",
            answer=f"not read in {timeout_s:.0f} s; it last said: {self._last_words or 'nothing'}",
        )

    async def _supervise(self) -> None:
        """Keeps dnsmasq running. Raises PermanentError when its first start fails."""
        delay_s = FIRST_RESTART_S
        while True:
            (self._folder / "leases").unlink(missing_ok=True)
            began_s = self._clock.monotonic_s()
            code = await self._run_once()
            if not self._has_started:
                raise PermanentError(
                    "start dnsmasq",
                    answer=self._last_words or f"exit code {code}",
                    advice="Is another DHCP server running here?",
                )
            if self._replacing:
                self._replacing = False
                continue
            log.warning("dnsmasq.ended", code=code, cause=self._last_words)
            if self._clock.monotonic_s() - began_s > LAST_RESTART_S:
                delay_s = FIRST_RESTART_S
            await self._clock.sleep(delay_s)
            delay_s = min(2 * delay_s, LAST_RESTART_S)

    async def _run_once(self) -> int:
        argv = ["dnsmasq", "--keep-in-foreground", "--log-facility=-"]
        argv.append(f"--conf-file={self._folder / 'dnsmasq.conf'}")
        self._last_words = ""
        async with self._children.started(argv) as child:
            self._child = child
            try:
                while line := await _line(child.stderr):
                    self._heard(line)
                return await child.wait()
            finally:
                self._child = None

    def _heard(self, line: str) -> None:
        if line.endswith(f" read {self._folder / 'options'}"):
            self._has_started = True
            self._read.set()
        elif "dnsmasq-dhcp" not in line:
            # Of DHCP exchanges nothing is kept: they name the secret URLs of nodes.
            self._last_words = line.removeprefix("dnsmasq: ")[:200]
        self._log.line(line)

    async def _stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError, PermanentError):
                await self._supervisor
            self._supervisor = None


async def _line(stream: asyncio.StreamReader) -> str:
    """The next line without its end; empty at the end of the stream. A line too long is cut."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the stream's buffer, which readline has emptied
            continue
        if not line or line.strip():
            return line.decode("utf-8", "replace").rstrip()


def _replace(path: Path, text: str) -> None:
    """Never half written, and readable by us alone: boot URLs are secrets."""
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)

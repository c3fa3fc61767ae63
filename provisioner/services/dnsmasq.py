"""DHCP and router advertisements for enrolled nodes, by a dnsmasq of our own."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import socket
from pathlib import Path
from types import TracebackType

from provisioner.core.errors import PermanentError
from provisioner.protocols.children import Children
from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink
from provisioner.protocols.netboot import Offer
from provisioner.services.daemon import Daemon, replace_file
from provisioner.services.dnsmasq_config import DhcpNetwork, hosts, options, static_part
from provisioner.services.dnsmasq_log import DnsmasqLog


class DnsmasqService:
    """`protocols.netboot.NetbootService` by DHCP: each enrolled port its address and what it boots.

    Nothing it keeps is durable: leases are reservations, so that a new start may forget them.
    """

    def __init__(
        self, network: DhcpNetwork, folder: Path, children: Children, sink: EventSink, clock: Clock
    ) -> None:
        self._network = network
        self._folder = folder
        self._log = DnsmasqLog(sink, clock)
        self._offers: dict[str, Offer] = {}
        argv = ("dnsmasq", "--keep-in-foreground", "--log-facility=-")
        self._daemon = Daemon(
            (*argv, f"--conf-file={folder / 'dnsmasq.conf'}"),
            children,
            clock,
            write=self._write_offers,
            # A new process each time, within a tenth of a second. Not by SIGHUP: dnsmasq 2.90 (Debian 12)
            # aborts when it rereads the options after it has served a node by them; and a reload keeps
            # leases, which keep an address from its next owner even against a reservation.
            renewal=signal.SIGKILL,
            has_read=lambda line: line.endswith(f" read {folder / 'options'}"),  # which it reads last
            heard=self._heard,
            advice="Is another DHCP server running here?",
            prepare=lambda: (folder / "leases").unlink(missing_ok=True),
        )

    async def __aenter__(self) -> DnsmasqService:
        self._check_interface()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        (self._folder / "dnsmasq.conf").write_text(
            static_part(self._network, self._folder, user=user, group=group)
        )
        await self._daemon.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._daemon.stop()

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
        if self._offers.get(offer.node_id) == offer and not self._daemon.behind:
            return
        self._offers[offer.node_id] = offer
        await self._daemon.renew()

    async def withdraw(self, node_id: str) -> None:
        if self._offers.pop(node_id, None) is not None or self._daemon.behind:
            await self._daemon.renew()

    def _write_offers(self) -> None:
        offers = self._offers.values()
        replace_file(self._folder / "hosts", hosts(offers))
        replace_file(self._folder / "options", options(offers, self._network.address))

    def _heard(self, line: str) -> str:
        self._log.line(line)
        # Of DHCP exchanges nothing is kept: they name the secret URLs of nodes.
        return "" if "dnsmasq-dhcp" in line else line.removeprefix("dnsmasq: ")[:200]

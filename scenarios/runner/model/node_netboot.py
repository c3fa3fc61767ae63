"""What a modelled machine's firmware says to the boot services of the compute hosts, and hears from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from bmsim.devices import messages as said
from scenarios.runner.model.contents import MIB, ImageServer, elf_head
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.netboot import ModelNetboot
from scenarios.runner.model.node_faults import NodeFaults
from scenarios.runner.model.roots import NfsRoot, Root
from scenarios.runner.model.wires import JITTER_S, LATENCY_S, Link, Wires

LOADER_BYTES = MIB
RAMDISK_BYTES: Mapping[str, int] = {"agent-kernel": 8 * MIB, "agent-ramdisk": 26 * MIB}

INIT = "/sbin/init"
"""Where the roots of the model's images have theirs."""

RIVAL, RIVAL_LEASE = "10.99.0.1", "10.99.0.50"
"""Of a second DHCP server, and what it offers."""

Note = Callable[..., None]
Serve = Callable[[ModelHost, ModelNetboot, Any], None]


class NodeNetboot:
    """Of the machine called `name`. hear: gives the machine an answer; took: told of each address that it was
    given; mounted: what it finds at a root by NFS."""

    def __init__(
        self,
        name: str,
        wires: Wires,
        hosts: Callable[[], Sequence[ModelHost]],
        images: ImageServer,
        faults: NodeFaults,
        note: Note,
        hear: Callable[[said.Answer], None],
        took: Callable[[str], None],
        random: Random,
        mounted: Callable[[NfsRoot], Root | None],
    ) -> None:
        self._name = name
        self._wires = wires
        self._hosts = hosts
        self._images = images
        self._faults = faults
        self._note = note
        self._hear = hear
        self._took = took
        self._random = random
        self._mounted = mounted
        self._tftp_server = ""  # of the last file that it asked for
        self._loop = asyncio.get_running_loop()

    def says(self, output: said.Output) -> bool:
        """Whether that was for a boot service."""
        match output:
            case said.DhcpDiscover():
                self._to_hosts(output, self._discovered)
            case said.DhcpRequest():
                self._to_hosts(output, self._requested)
            case said.TftpRead():
                self._tftp_server = output.server
                self._ask_server(output, "tftp", output.server, self._read_by_tftp)
            case said.HttpGet():
                server = urlsplit(output.url).hostname or ""
                self._ask_server(output, "http", server, self._got_by_http)
            case said.NfsRead():
                self._ask_server(output, "nfs", output.root.partition(":")[0], self._read_by_nfs)
            case said.Fetched():
                self._fetched(output)
            case _:
                return False
        return True

    # --- DHCP ----------------------------------------------------------------------------------

    def _to_hosts(self, message: said.DhcpDiscover | said.DhcpRequest, serve: Serve) -> None:
        self._to_rival(message)
        for host in self._hosts():
            self._send(Link("dhcp", host.name, self._name), host, serve, message)

    def _send(self, link: Link, host: ModelHost, serve: Serve, message: said.Output) -> None:
        def arrived() -> None:
            netboot = {"dhcp": host.dhcp, "nfs": host.nfs}.get(link.protocol, host.netboot)
            if netboot is not None:
                serve(host, netboot, message)

        self._wires.send(link, False, arrived)

    def _to_rival(self, asked: said.DhcpDiscover | said.DhcpRequest) -> None:
        """A second DHCP server on the wire, which answers as soon as ours and knows nothing of it."""
        rival = self._faults.find("dhcp.rival")
        if rival is None or (isinstance(asked, said.DhcpRequest) and asked.server != RIVAL):
            return
        self._faults.struck("dhcp.rival")
        words = (asked.ask, rival["address"] or RIVAL_LEASE, RIVAL, rival["boot_file"])
        answer = said.DhcpOffer(*words) if isinstance(asked, said.DhcpDiscover) else said.DhcpAck(*words)
        self._loop.call_later(2 * LATENCY_S + self._random.random() * JITTER_S, self._hear, answer)

    def _discovered(self, host: ModelHost, netboot: ModelNetboot, asked: said.DhcpDiscover) -> None:
        self._note("dhcp", "discover", client=asked.client)
        lease = netboot.discover(asked.mac, asked.architecture, asked.client)
        if lease is None or self._faults.loses("dhcp.lost_offer"):
            return
        self._note("dhcp", "offer", host.sender, client=asked.client, exchange=asked.ask)
        offer = said.DhcpOffer(asked.ask, lease.address, lease.server, lease.boot_file)
        self._back("dhcp", host, offer)

    def _requested(self, host: ModelHost, netboot: ModelNetboot, asked: said.DhcpRequest) -> None:
        if asked.server != netboot.address:
            return
        lease = netboot.request(asked.mac, asked.architecture, asked.client)
        if lease is None:
            self._back("dhcp", host, said.DhcpNak(asked.ask))
            return
        self._note("dhcp", "ack", host.sender, client=asked.client)
        self._took(lease.address)
        words = (lease.address, lease.server, lease.boot_file, lease.root_path)
        self._back("dhcp", host, said.DhcpAck(asked.ask, *words))

    # --- TFTP and HTTP -------------------------------------------------------------------------

    def _ask_server(self, message: said.Output, protocol: str, server: str, serve: Serve) -> None:
        by_nfs = protocol == "nfs"
        servers = ((one, one.nfs if by_nfs else one.netboot) for one in self._hosts())
        host = next((one for one, netboot in servers if netboot and netboot.address == server), None)
        if host is not None:  # else nobody is there: silence
            self._send(Link(protocol, host.name, self._name), host, serve, message)

    def _read_by_tftp(self, host: ModelHost, netboot: ModelNetboot, asked: said.TftpRead) -> None:
        if not asked.received_bytes:
            self._note("tftp", "read", file=asked.file)
        content = netboot.tftp(asked.address, asked.file)
        if content is None:
            self._note("tftp", "refused", host.sender, file=asked.file)
            self._back("tftp", host, said.TftpError(asked.ask))
            return
        size_bytes, head = self._file(content)
        stall = self._faults.find("tftp.stall")
        if stall is not None:
            self._faults.struck("tftp.stall")
            received = min(size_bytes - 1, 512 * int(stall["after_block"]))
            self._back("tftp", host, said.TftpData(asked.ask, size_bytes, received, False))
            return
        self._back("tftp", host, said.TftpData(asked.ask, size_bytes, head=head))

    def _file(self, content: Path | bytes) -> tuple[int, bytes]:
        """Its size, and its first bytes."""
        if isinstance(content, bytes):
            return len(content), content
        image = self._images.content_at(content)
        if image is None:
            return RAMDISK_BYTES.get(content.name, LOADER_BYTES), b""
        return image.size_bytes, elf_head(image.arch)

    def _read_by_nfs(self, host: ModelHost, netboot: ModelNetboot, asked: said.NfsRead) -> None:
        if not host.nfs_answers():
            return
        root = self._mounted(NfsRoot.at(asked.root))
        if root is None or asked.file != INIT:
            why = "No such file or directory" if root is not None else "Permission denied"
            self._back("nfs", host, said.NfsError(asked.ask, why))
            return
        self._back("nfs", host, said.NfsData(asked.ask, elf_head(root.arch)))

    def _got_by_http(self, host: ModelHost, netboot: ModelNetboot, asked: said.HttpGet) -> None:
        file = asked.url.rpartition("/")[2]
        self._note("http", "get", file=file)
        served = netboot.http(asked.address, urlsplit(asked.url).path)
        if served.text is not None:
            answer = said.HttpAnswer(asked.ask, 200, len(served.text), served.text)
        elif served.file is not None:
            answer = said.HttpAnswer(asked.ask, 200, self._file(served.file)[0])
        else:
            answer = said.HttpAnswer(asked.ask, served.status)
            self._note("http", "refused", host.sender, file=file)
        self._back("http", host, answer)

    def _fetched(self, fetched: said.Fetched) -> None:
        by_http = fetched.source.startswith("http")
        server = urlsplit(fetched.source).hostname if by_http else self._tftp_server
        file = fetched.source.rpartition("/")[2]
        for host in self._hosts():
            netboot = host.netboot
            if netboot is None or netboot.address != server:
                continue
            source = "http" if by_http else "tftp"
            meant_for = netboot.offered_to(fetched.address) or self._name
            detail = {"file": file, "bytes": fetched.size_bytes, "offered_to": meant_for}
            self._note(source, "sent", host.sender, **detail)
            tell = netboot.http_sent if by_http else netboot.tftp_sent
            tell(fetched.address, file, fetched.size_bytes, fetched.seconds)
            return

    def _back(self, protocol: str, host: ModelHost, answer: said.Answer) -> None:
        self._wires.send(Link(protocol, host.name, self._name), True, lambda: self._hear(answer))

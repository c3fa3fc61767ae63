"""DHCP, TFTP and HTTP of one compute host, as its nodes see them: what is offered, and what is told of it.

The same answers and the same events as `provisioner.services`: both are held to tests/contract/drivers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.protocols.events import EventSink, WireEvent
from provisioner.protocols.netboot import Loader, Offer
from scenarios.runner.model.host_disk import HostDisk

PORT = 8080

ARCHITECTURES = {
    0x00: Loader.BIOS,
    0x07: Loader.UEFI,
    0x09: Loader.UEFI,
    0x0A: None,  # UEFI on arm: nothing is for it
    0x0B: Loader.UEFI_ARM64,
    0x10: Loader.UEFI_HTTP,
}
"""Client system architecture types (RFC 4578, and IANA's list of them). Others may be U-Boot's."""

LOADERS: Mapping[Loader, Path] = {
    Loader.BIOS: Path("undionly.kpxe"),
    Loader.UEFI: Path("snponly.efi"),
    Loader.UEFI_HTTP: Path("snponly.efi"),
}
"""Named as Debian's files; nothing opens them."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What DHCP gives. boot_file: a TFTP file or a URL; empty: an address only. root_path:
    SERVER:PATH,OPTIONS of a root by NFS."""

    address: str
    server: str
    boot_file: str = ""
    root_path: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """What HTTP gives: a text, or a file by its path. status: 404 has neither."""

    status: int
    text: str | None = None
    file: Path | None = None


class ModelNetboot:
    """`provisioner.protocols.netboot.NetbootService`; the node's side is called by the rack."""

    def __init__(self, address: str, sink: EventSink, disk: HostDisk) -> None:
        self.address = address
        self._disk = disk
        self._sink = sink
        self._by_node: dict[str, Offer] = {}
        self._by_mac: dict[str, Offer] = {}
        self._by_address: dict[str, Offer] = {}
        self._heard_boots: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://{self.address}:{PORT}"

    async def offer(self, offer: Offer) -> None:
        if self._by_node.get(offer.node_id) == offer:
            return
        self._disk.write("write what nodes are offered")
        self._forget(offer.node_id)
        self._by_node[offer.node_id] = offer
        for mac, address in zip(offer.macs, offer.addresses, strict=True):
            self._by_mac[mac] = self._by_address[address] = offer

    async def withdraw(self, node_id: str) -> None:
        self._forget(node_id)
        self._heard_boots.pop(node_id, None)

    def _forget(self, node_id: str) -> None:
        offer = self._by_node.pop(node_id, None)
        for mac, address in zip(offer.macs, offer.addresses, strict=True) if offer else ():
            if self._by_mac.get(mac) is offer:
                del self._by_mac[mac]
            if self._by_address.get(address) is offer:
                del self._by_address[address]

    # --- what nodes ask ------------------------------------------------------------------------

    def discover(self, mac: str, architecture: int | None, client: str) -> Lease | None:
        """client: "iPXE", or what else calls itself so in its user or vendor class. architecture: None
        for who tells none, as a system does. None: silence."""
        offer = self._by_mac.get(mac)
        if offer is None:
            self._dhcp("dhcp.discover", mac, "asks for an address, and gets none", client, ignored=True)
            return None
        self._dhcp("dhcp.discover", mac, "asks for an address", client)
        lease = self._lease(offer, mac, architecture, client)
        self._dhcp("dhcp.offer", mac, f"is offered {lease.address}", client, address=lease.address)
        return lease

    def request(self, mac: str, architecture: int | None, client: str) -> Lease | None:
        offer = self._by_mac.get(mac)
        if offer is None:
            return None
        lease = self._lease(offer, mac, architecture, client)
        self._dhcp("dhcp.request", mac, f"wants {lease.address}", client, address=lease.address)
        self._dhcp("dhcp.ack", mac, f"has {lease.address}", client, address=lease.address)
        return lease

    def _lease(self, offer: Offer, mac: str, architecture: int | None, client: str) -> Lease:
        address = offer.addresses[offer.macs.index(mac)]
        if client == "iPXE":
            loader: Loader | None = Loader.IPXE
        else:
            loader = Loader.UBOOT if architecture is None else ARCHITECTURES.get(architecture, Loader.UBOOT)
        named = offer.boot_files.get(loader, "") if loader else ""
        boot_file = named or offer.boot_files.get(Loader.ANY, "")
        return Lease(address, self.address, boot_file, offer.root_path)

    def served(self, mac: str) -> str:
        """What a node would be given: to boot, or else to fetch or to mount; empty: an address at most."""
        offer = self._by_mac.get(mac)
        if offer is None:
            return ""
        names = (*offer.boot_files.values(), *offer.files, *offer.tftp_files, str(offer.nfs_root or ""))
        return next(filter(None, names), "")

    def exported_to(self, mac: str) -> Path | None:
        """The folder that this node can mount as its root by NFS."""
        offer = self._by_mac.get(mac)
        return offer.nfs_root if offer is not None else None

    def node_of(self, mac: str) -> str:
        """The id of the node whose offers this MAC address gets; empty: none."""
        offer = self._by_mac.get(mac)
        return offer.node_id if offer is not None else ""

    def offered_to(self, address: str) -> str:
        """The node that what is offered at this address is meant for."""
        offer = self._by_address.get(address)
        return offer.node_name if offer is not None else ""

    def tftp(self, address: str, file: str) -> Path | bytes | None:
        """What is to be sent; None: refused."""
        offer, file = self._by_address.get(address), file.lstrip("/")
        path = offer.tftp_files.get(file) if offer is not None else None
        if path is None:
            self._tell("tftp", "tftp.refused", address, f"asked by TFTP for {file!r}", {"file": file})
        return path

    def tftp_sent(self, address: str, file: str, size_bytes: int, seconds: float) -> None:
        detail = {"file": file, "bytes": size_bytes, "seconds": round(seconds, 3)}
        self._tell("tftp", "tftp.sent", address, f"{file} sent by TFTP, {size_bytes} bytes", detail)

    def http(self, address: str, path: str) -> Served:
        words = path.split("/")
        offer = self._by_address.get(address)
        if offer is None or len(words) != 4 or words[1] != "boot" or words[2] != offer.token:
            self._tell("http", "http.refused", address, "refused", {"file": words[-1]})
            return Served(404)
        file = offer.files.get(words[3])
        if file is None:
            return Served(404)
        return Served(200, text=file) if isinstance(file, str) else Served(200, file=file)

    def http_sent(self, address: str, file: str, size_bytes: int, seconds: float) -> None:
        detail = {"file": file, "bytes": size_bytes, "size": size_bytes, "seconds": round(seconds, 3)}
        self._tell("http", "http.sent", address, f"{file} sent, {size_bytes} bytes", detail)

    def hello(self, address: str, bearer: str, said: Mapping[str, Any]) -> int:
        """An agent's report; the HTTP status that it gets."""
        offer = self._by_address.get(address)
        if offer is None or not offer.bearer or bearer != offer.bearer:
            self._tell("http", "http.refused", address, "agent's report refused", {"file": "agent's report"})
            return 401
        boot_id = str(said["boot_id"])
        if self._heard_boots.get(offer.node_id) != boot_id:
            self._heard_boots[offer.node_id] = boot_id
            text = f"the agent reports from {address}"
            self._tell("agent", "agent.hello", address, text, said, node_id=offer.node_id)
        return 200

    def phone_home(self, address: str, token: str) -> int:
        offer = self._by_address.get(address)
        if offer is None:
            return 404
        digest = hashlib.sha256(token.encode()).hexdigest()
        text = f"the instance phones home from {address}"
        detail = {"token_sha256": digest}
        self._tell("http", "instance.phone_home", address, text, detail, node_id=offer.node_id)
        return 200

    # --- what is told --------------------------------------------------------------------------

    def _dhcp(self, name: str, mac: str, words: str, client: str, **detail: object) -> None:
        text = f"{mac} {words}" + (f" ({client})" if client else "")
        self._sink(
            WireEvent(source="dhcp", name=name, mac=mac, text=text, detail={"client": client, **detail})
        )

    def _tell(
        self,
        source: str,
        name: str,
        address: str,
        text: str,
        detail: Mapping[str, Any],
        *,
        node_id: str = "",
    ) -> None:
        self._sink(
            WireEvent(source=source, name=name, node_id=node_id, address=address, text=text, detail=detail)
        )

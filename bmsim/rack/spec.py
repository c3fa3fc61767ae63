"""The rack file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from bmsim.rack.errors import RackError
from bmsim.rack.names import Name
from bmsim.rack.pdu_spec import Feed, Pdu
from bmsim.rack.tile_spec import ARCH as TILEPRO64
from bmsim.rack.tile_spec import Tile, with_defaults


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _mac(text: str) -> str:
    if not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", text):
        raise ValueError("a MAC address looks like 52:54:00:77:00:01 (quote it: YAML may read a number)")
    if int(text[:2], 16) & 1:
        raise ValueError("the lowest bit of the first byte is set: a multicast address can't be a NIC's")
    return text.lower()


Mac = Annotated[str, AfterValidator(_mac)]


class Network(_Part):
    subnet: IPv4Network


class Networks(_Part):
    provisioning: Network
    management: Network


class ComputeHost(_Part):
    name: Name
    provisioning_address: IPv4Address
    management_address: IPv4Address


class Disk(_Part):
    size_mib: Annotated[int, Field(ge=1, le=2**24)]


class Nic(_Part):
    """ipxe: it is in the NIC's option ROM, as in QEMU's; without it, firmware netboots by its own means."""

    mac: Mac
    ipxe: bool = True
    network: Literal["provisioning"] = "provisioning"


class Bmc(_Part):
    address: IPv4Address
    user: Annotated[str, Field(min_length=1, max_length=16)]  # IPMI 2.0 §22.28
    password: Annotated[SecretStr, Field(min_length=1, max_length=20)]  # IPMI 2.0 §22.30


FIRMWARE = {
    "x86_64": ("bios", "uefi"),
    "arm64": ("uboot", "uefi"),
    "armhf": ("uboot",),
    TILEPRO64: ("tilera",),
}


class Node(_Part):
    """bmc: a board may do without. outlets: its power supplies; by default it always has power.
    starts_when_fed: whether it starts when power comes; by default that is how one without a BMC is started.
    tile: of a tilepro64 board, which is a model and no machine of QEMU's: it has no disk and no BMC.
    """

    name: Name
    arch: Literal["x86_64", "arm64", "armhf", "tilepro64"] = "x86_64"
    firmware: Literal["bios", "uefi", "uboot", "tilera"] = "bios"
    vcpus: Annotated[int, Field(ge=1, le=64)] = 1
    memory_mib: Annotated[int, Field(ge=256)] = 1024
    disks: Annotated[tuple[Disk, ...], Field(max_length=20)] = ()
    nics: Annotated[tuple[Nic, ...], Field(min_length=1, max_length=8)]
    bmc: Bmc | None = None
    outlets: Annotated[tuple[Feed, ...], Field(max_length=4)] = ()
    starts_when_fed: bool | None = None
    tile: Tile | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_what_its_architecture_has(cls, given: Any) -> Any:
        return with_defaults(given)

    @model_validator(mode="after")
    def _firmware_is_of_its_architecture(self) -> Node:
        known = FIRMWARE[self.arch]
        if self.firmware not in known:
            raise ValueError(f"firmware {self.firmware} doesn't run on {self.arch}: use {' or '.join(known)}")
        return self

    @model_validator(mode="after")
    def _can_be_switched(self) -> Node:
        if self.bmc is None and not self.outlets:
            raise ValueError("there is nothing to switch it by: give it a bmc, or outlets")
        return self

    @model_validator(mode="after")
    def _is_made_of_what_there_is(self) -> Node:
        if self.tile is None:
            if self.arch == TILEPRO64:
                raise ValueError("tile: null is no board; leave it out for one as it is in reality")
            if not self.disks:
                raise ValueError("a machine needs a disk, at least one")
            return self
        if self.arch != TILEPRO64:
            raise ValueError(f"tile is of boards of {TILEPRO64}, and this is {self.arch}")
        if self.disks or self.bmc is not None or len(self.nics) != 1 or self.starts_when_fed is False:
            raise ValueError(
                f"a {TILEPRO64} board has one NIC, no disk and no bmc, and starts when its outlet is on"
            )
        return self

    @property
    def starts_by_feed(self) -> bool:
        return self.bmc is None if self.starts_when_fed is None else self.starts_when_fed


class Rack(_Part):
    name: Name
    networks: Networks
    compute_hosts: Annotated[tuple[ComputeHost, ...], Field(min_length=1)]
    pdus: tuple[Pdu, ...] = ()
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> Rack:
        provisioning, management = self.networks.provisioning.subnet, self.networks.management.subnet
        if provisioning.overlaps(management):
            raise ValueError(f"the networks overlap: {provisioning} and {management}")
        for host in self.compute_hosts:
            _inside(f"compute host {host.name}", host.provisioning_address, provisioning)
            _inside(f"compute host {host.name}", host.management_address, management)
        for node in self.nodes:
            if node.bmc is not None:
                _inside(f"the BMC of node {node.name}", node.bmc.address, management)
        for pdu in self.pdus:
            _inside(f"PDU {pdu.name}", pdu.address, management)
        _once("compute host", (host.name for host in self.compute_hosts))
        _once("PDU", (pdu.name for pdu in self.pdus))
        _once("node", (node.name for node in self.nodes))
        for node in self.nodes:
            if self.compute_host(node.name) is not None:
                raise ValueError(f"a node and a compute host are called {node.name}")
        _once("MAC address", (nic.mac for node in self.nodes for nic in node.nics))
        _once("address", map(str, self._addresses()))
        self._check_outlets()
        return self

    def _addresses(self) -> Iterator[IPv4Address]:
        for host in self.compute_hosts:
            yield from (host.provisioning_address, host.management_address)
        yield from self.device_addresses

    @property
    def machines(self) -> tuple[Node, ...]:
        """Those that run under libvirt."""
        return tuple(node for node in self.nodes if node.tile is None)

    @property
    def tiles(self) -> tuple[Node, ...]:
        """Those that are models of tilepro64 boards."""
        return tuple(node for node in self.nodes if node.tile is not None)

    @property
    def device_addresses(self) -> list[IPv4Address]:
        """Of BMCs and PDUs."""
        bmcs = [node.bmc.address for node in self.nodes if node.bmc is not None]
        return bmcs + [pdu.address for pdu in self.pdus]

    def _check_outlets(self) -> None:
        there = {pdu.name: pdu.outlets for pdu in self.pdus}
        for node in self.nodes:
            for feed in node.outlets:
                if feed.pdu not in there:
                    raise ValueError(f"node {node.name} hangs on PDU {feed.pdu}, which there is not")
                if feed.outlet > there[feed.pdu]:
                    raise ValueError(
                        f"node {node.name} hangs on outlet {feed.outlet} of PDU {feed.pdu}, which has"
                        f" {there[feed.pdu]}"
                    )
        _once(
            "outlet",
            (f"{feed.outlet} of PDU {feed.pdu}" for node in self.nodes for feed in node.outlets),
        )

    def renamed(self, name: str) -> Rack:
        """The same rack by another name. Raises RackError."""
        try:
            return Rack.model_validate({**self.model_dump(), "name": name})
        except ValidationError as error:
            raise RackError(f"a rack can't be named {name!r}: {error.errors()[0]['msg']}", code=2) from error

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    def compute_host(self, name: str) -> ComputeHost | None:
        return next((host for host in self.compute_hosts if host.name == name), None)

    def pdu(self, name: str) -> Pdu | None:
        return next((pdu for pdu in self.pdus if pdu.name == name), None)


def _inside(what: str, address: IPv4Address, subnet: IPv4Network) -> None:
    if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
        raise ValueError(f"{what} has {address}, which is no host address of {subnet}")


def _once(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{what} {value} is given twice")
        seen.add(value)


def ipv6_prefix(subnet: IPv4Network) -> ipaddress.IPv6Network:
    """A unique local prefix (RFC 4193) of the rack's own, made from its IPv4 subnet: nodes that ask for a
    router get an answer, without which iPXE waits 13 s at each boot."""
    return ipaddress.IPv6Network((0xFD << 120 | int(subnet.network_address) << 64, 64))

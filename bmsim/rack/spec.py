"""The rack file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bmsim.rack.errors import RackError
from bmsim.rack.names import Name
from bmsim.rack.part import Part
from bmsim.rack.pdu_spec import Feed, Pdu
from bmsim.rack.tile_spec import ARCH as TILEPRO64
from bmsim.rack.tile_spec import Tile, with_defaults

T = TypeVar("T", str, SecretStr)

Place = tuple[int | str, ...]
"""Of a field in the file."""


def _mac(text: str) -> str:
    if not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", text):
        raise ValueError("a MAC address looks like 52:54:00:77:00:01 (quote it: YAML may read a number)")
    if int(text[:2], 16) & 1:
        raise ValueError("the lowest bit of the first byte is set: a multicast address can't be a NIC's")
    if not text.strip("0:"):
        raise ValueError("it is all zeros, which is no NIC's: the machine would be given another")
    return text.lower()


Mac = Annotated[str, AfterValidator(_mac)]


def _subnet(subnet: IPv4Network) -> IPv4Network:
    for taken, why in TAKEN.items():
        if subnet.overlaps(taken):
            raise ValueError(f"{subnet} has addresses of {taken}, {why}: take others, such as 10.77.0.0/24")
    return subnet


TAKEN = {
    IPv4Network("0.0.0.0/8"): "which are of no network",
    IPv4Network("127.0.0.0/8"): "which every host has for itself",
    IPv4Network("169.254.0.0/16"): "of which one is that of metadata",
    IPv4Network("224.0.0.0/3"): "which are no single host's",
}


class Network(Part):
    subnet: Annotated[
        IPv4Network,
        AfterValidator(_subnet),
        Field(description="Its addresses; the two networks don't overlap."),
    ]


class Networks(Part):
    provisioning: Annotated[Network, Field(description="What nodes boot from.")]
    management: Annotated[Network, Field(description="What BMCs and PDUs are on; it has a `subnet` as well.")]


class ComputeHost(Part):
    name: Annotated[Name, Field(description="Another than any node's.")]
    provisioning_address: Annotated[IPv4Address, Field(description="Of its interface `prov0`.")]
    management_address: Annotated[IPv4Address, Field(description="Of its interface `mgmt0`.")]


class Disk(Part):
    size_mib: Annotated[int, Field(ge=1, le=2**24, description="It is empty at first.")]


class Nic(Part):
    mac: Annotated[Mac, Field(description="In quotes: YAML may read a number.")]
    ipxe: Annotated[
        bool,
        Field(
            description="It is in the NIC's option ROM, as in QEMU's; without it, firmware netboots by its"
            " own means."
        ),
    ] = True
    network: Annotated[Literal["provisioning"], Field(description="What it is plugged into.")] = (
        "provisioning"
    )


def _bmc_text(most_bytes: int) -> Callable[[T], T]:
    """What IPMI carries in a field of so many bytes."""

    def checked(given: T) -> T:
        text = given.get_secret_value() if isinstance(given, SecretStr) else given
        if len(text.encode()) > most_bytes:
            raise ValueError(f"it has more than {most_bytes} bytes in UTF-8, which is what IPMI has room for")
        if not text.isprintable():
            raise ValueError("it has a control character, such as the end of a line")
        return given

    return checked


class Bmc(Part):
    address: Annotated[IPv4Address, Field(description="On the management network; it answers on UDP 623.")]
    user: Annotated[
        str,
        AfterValidator(_bmc_text(16)),  # IPMI 2.0 §22.28
        Field(min_length=1, description="16 bytes at most."),
    ]
    password: Annotated[
        SecretStr,
        AfterValidator(_bmc_text(20)),  # §22.30
        Field(min_length=1, description="20 bytes at most."),
    ]


FIRMWARE = {
    "x86_64": ("bios", "uefi"),
    "arm64": ("uboot", "uefi"),
    "armhf": ("uboot",),
    TILEPRO64: ("tilera",),
}


class Node(Part):
    """A machine or a board. There is a BMC, or there are outlets: something has to switch it."""

    name: Annotated[Name, Field(description="Another than any compute host's.")]
    arch: Annotated[
        Literal["x86_64", "arm64", "armhf", "tilepro64"], Field(description="Of its processors.")
    ] = "x86_64"
    firmware: Annotated[
        Literal["bios", "uefi", "uboot", "tilera"],
        Field(
            description="x86_64 has `bios` or `uefi`, arm64 `uboot` or `uefi`, armhf `uboot`, tilepro64"
            " `tilera` (which it has by itself)."
        ),
    ] = "bios"
    vcpus: Annotated[int, Field(ge=1, le=64, description="Processors; a tilepro64 has 64.")] = 1
    memory_mib: Annotated[int, Field(ge=256, description="A tilepro64 has 16218.")] = 1024
    disks: Annotated[
        tuple[Disk, ...], Field(max_length=20, description="One at least; a tilepro64 has none.")
    ] = ()
    nics: Annotated[
        tuple[Nic, ...], Field(min_length=1, max_length=8, description="8 at most; a tilepro64 has one.")
    ]
    bmc: Annotated[Bmc | None, Field(description="What hangs on outlets may do without.")] = None
    outlets: Annotated[
        tuple[Feed, ...],
        Field(max_length=4, description="Its power supplies, 4 at most; without any it always has power."),
    ] = ()
    starts_when_fed: Annotated[
        bool | None,
        Field(description="Whether it starts when power comes; else, what has no BMC does."),
    ] = None
    tile: Annotated[
        Tile | None,
        Field(description="Of a tilepro64 board, which is a model and no machine of QEMU's."),
    ] = None

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
            raise _wrong(("tile",), f"tile is of boards of {TILEPRO64}, and this is {self.arch}")
        if self.disks or self.bmc is not None or len(self.nics) != 1 or self.starts_when_fed is False:
            raise ValueError(
                f"a {TILEPRO64} board has one NIC, no disk and no bmc, and starts when its outlet is on"
            )
        return self

    @property
    def starts_by_feed(self) -> bool:
        return self.bmc is None if self.starts_when_fed is None else self.starts_when_fed


class Rack(Part):
    name: Annotated[Name, Field(description="`bmsim rack up --name` gives it another.")]
    networks: Annotated[Networks, Field(description="There are two.")]
    compute_hosts: Annotated[
        tuple[ComputeHost, ...],
        Field(min_length=1, description="What provisioners run on: each has a leg on both networks."),
    ]
    pdus: Annotated[tuple[Pdu, ...], Field(description="Power distribution units.")] = ()
    nodes: Annotated[tuple[Node, ...], Field(min_length=1, description="Machines and boards.")]

    @model_validator(mode="after")
    def _fits_together(self) -> Rack:
        provisioning, management = self.networks.provisioning.subnet, self.networks.management.subnet
        if provisioning.overlaps(management):
            place = ("networks", "management", "subnet")
            raise _wrong(place, f"the networks overlap: {provisioning} and {management}")
        for number, host in enumerate(self.compute_hosts):
            what, of = f"compute host {host.name}", ("compute_hosts", number)
            _inside(what, host.provisioning_address, provisioning, (*of, "provisioning_address"))
            _inside(what, host.management_address, management, (*of, "management_address"))
        for number, node in enumerate(self.nodes):
            if node.bmc is not None:
                what = f"the BMC of node {node.name}"
                _inside(what, node.bmc.address, management, ("nodes", number, "bmc", "address"))
        for number, pdu in enumerate(self.pdus):
            _inside(f"PDU {pdu.name}", pdu.address, management, ("pdus", number, "address"))
        _once("compute host", _names("compute_hosts", self.compute_hosts))
        _once("PDU", _names("pdus", self.pdus))
        _once("node", _names("nodes", self.nodes))
        for named, name in _names("nodes", self.nodes):
            if self.compute_host(name) is not None:
                raise _wrong(named, f"a node and a compute host are called {name}")
        _once(
            "MAC address",
            (
                (("nodes", number, "nics", place, "mac"), nic.mac)
                for number, node in enumerate(self.nodes)
                for place, nic in enumerate(node.nics)
            ),
        )
        _once("address", self._addresses())
        self._check_outlets()
        return self

    def _addresses(self) -> Iterator[tuple[Place, str]]:
        for number, host in enumerate(self.compute_hosts):
            yield ("compute_hosts", number, "provisioning_address"), str(host.provisioning_address)
            yield ("compute_hosts", number, "management_address"), str(host.management_address)
        for number, node in enumerate(self.nodes):
            if node.bmc is not None:
                yield ("nodes", number, "bmc", "address"), str(node.bmc.address)
        for number, pdu in enumerate(self.pdus):
            yield ("pdus", number, "address"), str(pdu.address)

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
        there = {pdu.name: len(pdu.numbers) for pdu in self.pdus}
        feeds = [
            (("nodes", number, "outlets", place), node.name, feed)
            for number, node in enumerate(self.nodes)
            for place, feed in enumerate(node.outlets)
        ]
        for place, name, feed in feeds:
            if feed.pdu not in there:
                raise _wrong(place, f"node {name} hangs on PDU {feed.pdu}, which there is not")
            if feed.outlet > there[feed.pdu]:
                told = f"node {name} hangs on outlet {feed.outlet} of PDU {feed.pdu}"
                raise _wrong(place, f"{told}, which has {there[feed.pdu]}")
        _once("outlet", ((place, f"{feed.outlet} of PDU {feed.pdu}") for place, _, feed in feeds))

    def renamed(self, name: str) -> Rack:
        """The same rack by another name. Raises RackError."""
        try:
            return Rack.model_validate({**self.model_dump(), "name": name})
        except ValidationError as error:
            raise RackError(
                f"a rack can't be named {name!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}",
                code=2,
            ) from error

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    def compute_host(self, name: str) -> ComputeHost | None:
        return next((host for host in self.compute_hosts if host.name == name), None)

    def pdu(self, name: str) -> Pdu | None:
        return next((pdu for pdu in self.pdus if pdu.name == name), None)


def _wrong(place: Place, told: str) -> ValidationError:
    """What only shows when the whole is looked at, told like what shows in one field alone."""
    kind = PydanticCustomError("value_error", "{told}", {"told": told})
    return ValidationError.from_exception_data("Rack", [InitErrorDetails(type=kind, loc=place, input=None)])


def _inside(what: str, address: IPv4Address, subnet: IPv4Network, place: Place) -> None:
    if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
        raise _wrong(place, f"{what} has {address}, which is no host address of {subnet}")


def _names(field: str, items: Iterable[ComputeHost | Pdu | Node]) -> Iterator[tuple[Place, str]]:
    return (((field, number, "name"), item.name) for number, item in enumerate(items))


def _once(what: str, values: Iterable[tuple[Place, str]]) -> None:
    seen: set[str] = set()
    for place, value in values:
        if value in seen:
            raise _wrong(place, f"{what} {value} is given twice")
        seen.add(value)


def ipv6_prefix(subnet: IPv4Network) -> ipaddress.IPv6Network:
    """A unique local prefix (RFC 4193) of the rack's own, made from its IPv4 subnet: nodes that ask for a
    router get an answer, without which iPXE waits 13 s at each boot."""
    return ipaddress.IPv6Network((0xFD << 120 | int(subnet.network_address) << 64, 64))

"""The node file: what `bmsim rack inventory` prints, or an operator writes for a real rack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from provisioner.config.node_power import FakePower, IpmiPower
from provisioner.config.outlet_power import CommandPower, FeedsPower, HttpPower, IbootPower, SnmpPower
from provisioner.config.part import Part
from provisioner.config.source import Location, misplaced
from provisioner.config.words import MOST, Word
from provisioner.core.feeds import feeds_of, units_advice


def _mac(value: object) -> str:
    if isinstance(value, int):
        # YAML 1.1 reads 52:54:00:12:34:56 as a number to the base of 60.
        raise ValueError("YAML takes it for a number: put the MAC address in quotes")
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", value):
        raise ValueError("a MAC address looks like 52:54:00:77:00:01 (in quotes)")
    return value.lower()


def _text(value: object) -> object:
    """YAML reads 2 and true as what they are."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
WORD_OR_NOTHING = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$"


class PortEntry(Part):
    mac: Annotated[str, BeforeValidator(_mac), Field(max_length=17, description="Of the NIC, in quotes.")]
    address: Annotated[
        IPv4Address | None, Field(description="Its reservation; by default one from network.pool.")
    ] = None


class Disk(Part):
    """One of a node's disks, by all that is said here."""

    serial: Annotated[Word | None, Field(description="Its serial number.")] = None
    wwn: Annotated[Word | None, Field(description="Its World Wide Name.")] = None
    model: Annotated[Word | None, Field(description="Its model.")] = None
    path: Annotated[Word | None, Field(description="Its device path, such as /dev/vda.")] = None


class RootDevice(Disk):
    """Which disk gets the instance; by default the smallest that is large enough."""


class KeptDisk(Disk):
    """A disk that is never written to."""

    @model_validator(mode="after")
    def _says_which(self) -> KeptDisk:
        if not self.model_dump(exclude_none=True):
            raise ValueError("say which disk: its serial, wwn, model or path")
        return self


KeptDisks = Annotated[
    tuple[KeptDisk, ...],
    Field(
        max_length=16,
        description="Disks that are never written to, nor wiped: that which a board's U-Boot is on.",
    ),
]


BOOTS_OF_FIRMWARE = {"bios": ("ipxe",), "uefi": ("ipxe", "grub"), "uboot": ("uboot",), "tilera": ("tilera",)}
BOOTS_OF_ARCH = {
    "x86_64": ("ipxe",),
    "arm64": ("uboot", "grub"),
    "armhf": ("uboot",),
    "tilepro64": ("tilera",),
}
"""Debian builds iPXE for x86 alone."""


Power = Annotated[
    IpmiPower | SnmpPower | IbootPower | HttpPower | CommandPower | FeedsPower | FakePower,
    Field(discriminator="driver", description="How it is switched on and off."),
]


class NodeEntry(Part):
    name: Annotated[str, Field(pattern=WORD, description="Unique; letters, digits, . _ -")]
    arch: Annotated[Literal["x86_64", "arm64", "armhf", "tilepro64"], Field(description="Its architecture.")]
    firmware: Annotated[
        Literal["bios", "uefi", "uboot", "tilera"], Field(description="What it starts with.")
    ] = "bios"
    vcpus: Annotated[int, Field(ge=1, le=MOST, description="CPUs, or cores.")]
    memory_mib: Annotated[int, Field(ge=1, le=MOST, description="Memory.")]
    disk_mib: Annotated[
        int, Field(ge=0, le=MOST, description="Of the disk that instances are written to; 0: it has none.")
    ]
    ports: Annotated[
        tuple[PortEntry, ...], Field(min_length=1, description="NICs on the provisioning network.")
    ]
    boot: Annotated[
        Literal["ipxe", "uboot", "grub", "tilera"],
        Field(description="How it boots from the network; grub: arm64 with UEFI."),
    ] = "ipxe"
    deploy: Annotated[
        Literal["iscsi", "nfs"],
        Field(description="How it gets its root: written to its disk by iSCSI, or served by NFS."),
    ] = "iscsi"
    power: Power
    zone: Annotated[str, Field(pattern=WORD_OR_NOTHING, description="Which requests may ask for.")] = ""
    rack: Annotated[Word, Field(description="Where it stands; instances are spread over racks.")] = ""
    reserved_for: Annotated[Word, Field(description="The only tenant that may have it; by default any.")] = ""
    capabilities: Annotated[
        dict[Annotated[str, Field(pattern=WORD)], Annotated[Word, BeforeValidator(_text)]],
        Field(max_length=64, description="What else is to be said of it, for flavors to ask for."),
    ] = Field(default_factory=dict)
    root_device: Annotated[
        RootDevice,
        Field(description="Which disk gets the instance; by default the smallest that is large enough."),
    ] = RootDevice()
    keep_disks: KeptDisks = ()

    @model_validator(mode="after")
    def _boots_as_its_firmware_can(self) -> NodeEntry:
        if self.boot not in (known := BOOTS_OF_ARCH[self.arch]):
            raise ValueError(f"arch: {self.arch} can't boot by {self.boot}: say boot: {' or '.join(known)}")
        if self.boot not in BOOTS_OF_FIRMWARE[self.firmware]:
            others = [firmware for firmware, boots in BOOTS_OF_FIRMWARE.items() if self.boot in boots]
            raise ValueError(
                f"boot: {self.boot} is not what firmware: {self.firmware} can do: say firmware: "
                f"{' or '.join(others)}"
            )
        if self.boot == "tilera" and self.deploy != "nfs":
            raise ValueError("a board that boots by tilera has its root by NFS: say deploy: nfs")
        if self.boot == "tilera" and (self.disk_mib or self.keep_disks or self.root_device != RootDevice()):
            raise ValueError(
                "a board that boots by tilera has no disk that anybody here could wipe: say disk_mib: 0, and "
                "neither root_device nor keep_disks"
            )
        return self


class NodeFile(Part):
    nodes: Annotated[tuple[NodeEntry, ...], Field(min_length=1, description="The nodes.")]

    @model_validator(mode="after")
    def _each_is_there_once(self) -> NodeFile:
        seen = set[str]()
        for place, what in self._what_is_there_once():
            if what in seen:
                raise misplaced(place, f"{what} is there twice{units_advice(what)}")
            seen.add(what)
        return self

    def _what_is_there_once(self) -> Iterator[tuple[Location, str]]:
        for number, node in enumerate(self.nodes):
            at = ("nodes", number)
            yield (*at, "name"), f"node {node.name}"
            for place, port in enumerate(node.ports):
                yield (*at, "ports", place, "mac"), f"MAC address {port.mac}"
                if port.address is not None:
                    yield (*at, "ports", place, "address"), f"address {port.address}"
            for feed in feeds_of(node.power.driver, node.power.shown()):
                yield (*at, "power"), f"the feed {feed}"

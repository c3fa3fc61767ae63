"""The section of the configuration file about the provisioning network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import Field, model_validator

from provisioner.config.section import Section
from provisioner.config.source import misplaced


class Network(Section):
    interface: Annotated[
        str,
        # IFNAMSIZ of <linux/if.h>: 16 with the final zero.
        Field(pattern=r"^[^/\s]{1,15}$", description="The interface on the provisioning network."),
    ]
    address: Annotated[IPv4Address, Field(description="Our address on it.")]
    subnet: Annotated[IPv4Network, Field(description="The provisioning network.")]
    pool: Annotated[str, Field(description="FIRST-LAST: addresses that nodes are given.")]
    gateway: Annotated[IPv4Address | None, Field(description="The nodes' default route.")] = None
    dns: Annotated[tuple[IPv4Address, ...], Field(description="The nodes' name servers.")] = ()
    http_port: Annotated[int, Field(ge=0, le=65535, description="Where nodes fetch their files.")] = 8080
    serve_dhcp: Annotated[
        bool, Field(description="Whether to serve DHCP, TFTP and router advertisements.")
    ] = True
    metadata: Annotated[
        Literal["none", "v1_v2", "v2"],
        Field(
            description="Whether instances may read EC2's instance metadata and their user data here, at "
            "169.254.169.254, which must be an address of this system; v2: with a token alone."
        ),
    ] = "none"

    @property
    def pool_range(self) -> tuple[IPv4Address, IPv4Address]:
        first, _, last = self.pool.partition("-")
        return IPv4Address(first.strip()), IPv4Address(last.strip())

    @property
    def _nobodys(self) -> tuple[IPv4Address, ...]:
        """The network's and broadcast's address, which a link of two doesn't have (RFC 3021)."""
        ends = self.subnet.network_address, self.subnet.broadcast_address
        return ends if self.subnet.prefixlen < 31 else ()

    def fault(self, address: IPv4Address) -> str:
        """Why this can't be a node's address; empty when it can."""
        if address == self.address:
            return "it is the provisioner's own"
        if address == self.gateway:
            return "it is the gateway's"
        # Another's DHCP server may serve other networks too; our own can't.
        if self.serve_dhcp and address not in self.subnet:
            return f"it is not in {self.subnet}, which nodes boot from"
        if address in self._nobodys:
            return f"it is the first or the last one of {self.subnet}, which nobody can have"
        return ""

    @model_validator(mode="after")
    def _fits_together(self) -> Network:
        try:
            first, last = self.pool_range
        except ValueError as error:
            told = f"the pool {self.pool!r} is not FIRST-LAST, two IPv4 addresses"
            raise misplaced(("pool",), told) from error
        if first not in self.subnet or last not in self.subnet or last < first:
            raise misplaced(("pool",), f"the pool {self.pool} is not a range inside {self.subnet}")
        for end in (first, last):
            if end in self._nobodys:
                told = f"the pool {self.pool} has {end}, which nobody in {self.subnet} can have"
                raise misplaced(("pool",), told)
        for what, name, address in (
            ("our own address", "address", self.address),
            ("the gateway", "gateway", self.gateway),
        ):
            if address is not None and first <= address <= last:
                raise misplaced((name,), f"{what} {address} lies in the pool {self.pool}")
            # Another's DHCP server may lead nodes to us over a router; our own can't.
            if address is not None and address not in self.subnet and self.serve_dhcp:
                raise misplaced((name,), f"{what} {address} is not in {self.subnet}")
        return self

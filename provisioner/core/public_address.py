"""Addresses that members may have images fetched from.

A URL that is given to us is asked for by us: from inside, where BMCs, metadata services and databases trust
whoever reaches them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1: an IPv4 address in the last 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """members: addresses of the Internet, any, or none. also: networks that are allowed whatever they are.
    never: networks that are not, whatever `members` is. Of an address that is in some of both, the smallest
    network decides; of two that are as small, `never`."""

    members: Literal["public", "any", "none"] = "public"
    also: tuple[Network, ...] = ()
    never: tuple[Network, ...] = ()

    def allows(self, address: str) -> bool:
        """Of an address, not of a name: what a name leads to is for whoever connects to check."""
        try:
            # Without the scope of a link-local one, as in fe80::1%eth0.
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        meant = (found, *_inside(found))
        also, never = _narrowest(self.also, meant), _narrowest(self.never, meant)
        if also > never:
            return True
        if never > NOWHERE or self.members != "public":
            return never == NOWHERE and self.members == "any"
        return all(one.is_global and not one.is_multicast for one in meant)


NOWHERE = -1


def _narrowest(networks: Iterable[Network], addresses: Iterable[IPv4Address | IPv6Address]) -> int:
    """How many bits the smallest network says of one that any of the addresses is in, as of a newer address;
    NOWHERE: they are in none."""
    found = list(addresses)
    return max(
        (
            network.prefixlen + 128 - network.max_prefixlen
            for network in networks
            if any(one in network for one in found if one.version == network.version)
        ),
        default=NOWHERE,
    )


def _inside(address: IPv4Address | IPv6Address) -> tuple[IPv4Address, ...]:
    """Addresses of the older protocol that one of the newer stands for: a gateway, or the kernel itself, may
    take it there."""
    if isinstance(address, IPv4Address):
        return ()
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return tuple(one for one in found if one is not None)

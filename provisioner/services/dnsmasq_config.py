"""What dnsmasq is told: once at its start, and anew whenever an offer changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from provisioner.protocols.netboot import Loader, Offer

LEASE_S = 3600
MAX_LEASES = 100_000

# Who is asking, by the tags that the configuration below sets. No two of them hold at once,
# so that which of several matching options dnsmasq would prefer never matters. ANY stands alone.
CLIENT_TAGS = {
    Loader.IPXE: "tag:ipxe",
    Loader.BIOS: "tag:!ipxe,tag:bios",
    Loader.UEFI: "tag:!ipxe,tag:uefi",
    Loader.UEFI_HTTP: "tag:!ipxe,tag:uefi_http",
    Loader.UEFI_ARM64: "tag:!ipxe,tag:uefi_arm64",
    Loader.UBOOT: "tag:!ipxe,tag:!bios,tag:!uefi,tag:!uefi_http,tag:!uefi_arm64,tag:!uefi_arm",
    Loader.ANY: "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpNetwork:
    """The provisioning network, as its nodes are told."""

    interface: str
    address: IPv4Address  # ours
    subnet: IPv4Network
    gateway: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    metadata: IPv4Address | None = None  # where instances ask for their metadata, over `address`


def static_part(network: DhcpNetwork, folder: Path, *, user: str, group: str) -> str:
    """The configuration file. user, group: our own."""
    dns = ",".join(map(str, network.dns))
    lines = (
        "# Written by the provisioner at each start.",
        "port=0",  # no DNS
        "no-resolv",
        "no-hosts",
        f"interface={network.interface}",
        "except-interface=lo",
        "bind-dynamic",
        # It would become another user or group, and the kernel forgets then whose death should end it
        # (prctl(2), PR_SET_PDEATHSIG).
        f"user={user}",
        f"group={group}",
        "pid-file=",
        "dhcp-authoritative",
        "log-dhcp",
        "no-ping",  # else it tries an address for 3 s before it offers it; ours are reserved
        f"dhcp-lease-max={MAX_LEASES}",
        f"dhcp-leasefile={folder / 'leases'}",
        f"dhcp-range={network.subnet.network_address},static,{network.subnet.netmask},{LEASE_S}",
        "dhcp-ignore=tag:!known",
        f"dhcp-hostsfile={folder / 'hosts'}",
        f"dhcp-optsfile={folder / 'options'}",
        # iPXE waits 13 s for a router advertisement that never comes, so it gets one: of a
        # router with lifetime 0, over which nobody sends anything.
        "enable-ra",
        "quiet-ra",
        f"dhcp-range=::,constructor:{network.interface},ra-only,64",
        f"ra-param={network.interface},10,0",
        f"dhcp-option=option:router{f',{network.gateway}' if network.gateway else ''}",
        f"dhcp-option=option:dns-server{f',{dns}' if dns else ''}",
        *_routes(network),
        "dhcp-userclass=set:ipxe,iPXE",
        # iPXE waits 3 s more for a proxy DHCP server unless it is told (its option 175.176) that none comes.
        "dhcp-option-force=tag:ipxe,encap:175,176,1b",
        "dhcp-match=set:bios,option:client-arch,0",  # RFC 4578 §2.1 and IANA's list
        "dhcp-match=set:uefi,option:client-arch,7",
        "dhcp-match=set:uefi,option:client-arch,9",
        "dhcp-match=set:uefi_arm64,option:client-arch,11",
        "dhcp-match=set:uefi_http,option:client-arch,16",
        "dhcp-match=set:uefi_arm,option:client-arch,10",  # U-Boot itself, once it looks for a UEFI program
        # UEFI 2.10 §24.7: an HTTP boot client takes only offers that say so.
        "dhcp-option-force=tag:uefi_http,tag:!ipxe,option:vendor-class,HTTPClient",
    )
    return "\n".join(lines) + "\n"


def _routes(network: DhcpNetwork) -> tuple[str, ...]:
    """The way to the metadata: over us, and no other route changes. Who is given routes ignores the router
    that is given beside them (RFC 3442), so that it stands among them."""
    if network.metadata is None:
        return ()
    gateway = f",0.0.0.0/0,{network.gateway}" if network.gateway else ""
    return (f"dhcp-option=option:classless-static-route,{network.metadata}/32,{network.address}{gateway}",)


def hosts(offers: Iterable[Offer]) -> str:
    """The reservations: every enrolled port, tagged with its node."""
    return "".join(
        f"{mac},set:{offer.node_id},{address}\n"
        for offer in offers
        for mac, address in zip(offer.macs, offer.addresses, strict=True)
    )


def options(offers: Iterable[Offer], server: IPv4Address) -> str:
    """What each node's clients load."""
    lines = ["# Written by the provisioner.\n"]  # dnsmasq says that it read a file only if it isn't empty
    for offer in offers:
        for loader, boot_file in offer.boot_files.items():
            tags = ",".join(filter(None, (f"tag:{offer.node_id}", CLIENT_TAGS[loader])))
            lines.append(f"{tags},option:bootfile-name,{boot_file}\n")
            lines.append(f"{tags},option:server-ip-address,{server}\n")
        if offer.root_path:
            lines.append(f"tag:{offer.node_id},option:root-path,{offer.root_path}\n")
    return "".join(lines)

"""How long a machine takes for what. Defaults are those of emulated machines (docs/performance.md): 13.6 s
from power-on until an agent reports, 35.8 s until Debian is seen."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """post_s:          power-on until the firmware looks for something to boot
    loader_s:        iPXE, from its start until it asks DHCP
    disk_loader_s:   a disk's boot loader, until its kernel starts
    agent_s, os_s:   a kernel's start until its system asks DHCP
    link_up_s:       the NIC's driver starts until packets pass
    shutdown_s:      the power button is pressed until the machine is off
    panic_restart_s: a kernel's panic until it resets the machine
    """

    post_s: float = 2.0
    loader_s: float = 2.5
    disk_loader_s: float = 3.0
    agent_s: float = 7.4
    os_s: float = 29.0
    link_up_s: float = 0.0
    shutdown_s: float = 3.0
    panic_restart_s: float = 10.0
    tftp_bytes_per_s: float = 8 * MIB
    http_bytes_per_s: float = 20 * MIB

    def scaled(self, factor: float) -> Self:
        """All durations that many times longer: how a caller gives each machine its own pace."""
        return replace(
            self,
            **{
                field.name: getattr(self, field.name) * factor
                for field in fields(self)
                if field.name.endswith("_s") and not field.name.endswith("_per_s")
            },
        )


UEFI = Timing(post_s=8.0)
"""OVMF takes longer than SeaBIOS until it boots."""

UBOOT = Timing(post_s=1.0)
"""A board has next to nothing to test."""


# How clients on the network wait and give up.

PXE_DHCP_S = (4.0, 8.0, 16.0, 32.0)
"""PXE 2.1 §2.2; EDK2's mPxeDhcpTimeout."""

IPXE_DHCP_S = (1.0, 2.0, 4.0, 8.0)
"""iPXE, config/dhcp.h: from 1 s, doubled, up to 10 s."""

IPXE_DEFERRALS = 60
"""iPXE, config/dhcp.h, DHCP_DISC_MAX_DEFERRALS: while it sees STP or LACP block its port."""

SYSTEM_DHCP_S = (3.0, 3.0, 3.0, 20.0)
"""BusyBox udhcpc: three tries, a pause, and all over again for ever."""

NFS_S = 2.0
"""Made up: TCP sends a lost segment again, and Linux makes a connection anew, after about this."""

PXE_TFTP_S = (4.0,) * 6
"""EDK2, PXEBC_MTFTP_TIMEOUT and PXEBC_MTFTP_RETRIES."""

IPXE_TFTP_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""iPXE's retry timer: from 0.25 s, doubled, up to 10 s."""

UEFI_HTTP_S = (1.0, 4.0)
"""EDK2 waits 5 s for an answer (HTTP_BOOT_RESPONSE_TIMEOUT); its TCP has sent its SYN again by then."""

IPXE_HTTP_S = (1.0, 2.0, 4.0, 8.0)
"""iPXE's TCP sends its SYN again, doubles its wait each time, and then the connection has timed out."""

GRUB_TFTP_S = tuple(0.4 + 0.02 * tries for tries in range(40))
"""GRUB 2.06, include/grub/net.h: GRUB_NET_INTERVAL, GRUB_NET_INTERVAL_ADDITION, GRUB_NET_TRIES."""

UBOOT_DHCP_S = (0.25, 0.5, 1.0, *(2.0,) * 13)
"""U-Boot 2023.01, net/bootp.c: from 0.25 s, doubled up to 2 s; it gives up after 28 s."""

UBOOT_TFTP_S = (5.0,) * 10
"""U-Boot 2023.01, net/tftp.c: TIMEOUT, and twice CONFIG_NET_RETRY_COUNT of it."""

TILE_DHCP_S = (1.0, 2.0, 4.0, 8.0)  # by BOOTP too
TILE_TFTP_S = (5.0,) * 6
TILE_NFS_S = 2.0
"""Of tilepro64 boards, whose firmware's patience was never written down: made up, after U-Boot and Linux."""

BETWEEN_WAYS_S = 65.0
"""OVMF 2022.11, measured: after PXE by IPv4 has failed it asks for IPv6 in vain, then tries HTTP by IPv4."""

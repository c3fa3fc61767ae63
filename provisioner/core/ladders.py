"""What a healthy boot shows on the wire, rung by rung, for each way to boot; and what a missing one means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rung:
    """One thing that a healthy boot shows.

    event:   name of the timeline event that proves it; `files` narrows http.sent and tftp.sent to these
    proven:  how a person says that it happened
    missing: the likely cause when everything below it happened and this didn't
    optional: some firmware, or some instances, skip it
    then:    the likely cause when this is the last thing that happened; else the next rung's `missing` tells
    """

    event: str
    proven: str
    missing: str
    files: tuple[str, ...] = ()
    optional: bool = False
    then: str = ""


Ladder = tuple[Rung, ...]

POWER = Rung(
    "power.on",
    "the power device confirmed that the node is on",
    "the power device never confirmed that the node came on: look at its power feed and its BMC",
)
OFFERED = Rung(
    "dhcp.offer",
    "the node was offered its address",
    "its DHCP request wasn't answered: the compute host couldn't write what the node is offered (its log "
    "says node.not_published_yet, and why), or hears only half of what is said on the wire",
)
ADDRESS = Rung(
    "dhcp.ack",
    "the node took its address by DHCP",
    "DHCP was offered and never taken: a second DHCP server answers, or offers get lost on the way",
)


def _asks(missing: str) -> Rung:
    return Rung("dhcp.discover", "the node sent a DHCP request", missing)


ASKS = _asks(
    "no DHCP request was seen: its NIC or cable is dead, its switch port blocks, it boots from another "
    "device, the enrolled MAC address is not the one it boots from, or its outlets or BMC are another "
    "machine's"
)

_IPXE = (
    POWER,
    ASKS,
    OFFERED,
    ADDRESS,
    Rung(
        "tftp.sent",
        "the boot loader was fetched by TFTP",
        "DHCP was answered, the boot loader was never fetched: TFTP is blocked, or the loader is for "
        "another architecture",
        optional=True,
    ),
    Rung(
        "http.sent",
        "the boot script was fetched",
        "DHCP was answered, the boot script was never fetched: HTTP is blocked between node and compute "
        "host, or the firmware ignores the boot file it was given",
        files=("boot.ipxe",),
    ),
    Rung(
        "http.sent",
        "the kernel was fetched",
        "the boot script was fetched, the kernel never was: the loader stopped, or the transfer was cut",
        files=("kernel",),
    ),
    Rung(
        "http.sent",
        "the ramdisk was fetched",
        "the kernel was fetched, the ramdisk never was: the transfer was cut, or memory is too small",
        files=("ramdisk",),
    ),
)

_UBOOT_SCRIPT = Rung(
    "tftp.sent",
    "U-Boot fetched its boot script",
    "DHCP was answered, U-Boot never fetched boot.scr.uimg: TFTP is blocked between board and compute host, "
    "or its bootcmd asks for no script of that name (`dhcp ${scriptaddr} boot.scr.uimg` at its prompt does)",
    files=("boot.scr.uimg",),
)
_UBOOT = (
    POWER,
    _asks(
        "no DHCP request was seen: U-Boot's boot_targets has no dhcp, or something before it boots; it "
        "stopped at its prompt; its NIC or cable is dead, its switch port blocks; the enrolled MAC address "
        "is not its ethaddr; or its outlets or BMC are another machine's"
    ),
    OFFERED,
    ADDRESS,
    _UBOOT_SCRIPT,
    Rung(
        "tftp.sent",
        "U-Boot fetched the kernel",
        "the boot script was fetched, the kernel never was: U-Boot refused the script or lacks one of its "
        "commands, kernel_addr_r is not set, or the transfer was cut; see the console",
        files=("kernel.gz", "kernel"),
    ),
    Rung(
        "tftp.sent",
        "U-Boot fetched the ramdisk",
        "the kernel was fetched, the ramdisk never was: ramdisk_addr_r is not set, memory is too small, or "
        "the transfer was cut; see the console",
        files=("ramdisk",),
    ),
)

_GRUB = (
    POWER,
    ASKS,
    OFFERED,
    ADDRESS,
    Rung(
        "tftp.sent",
        "the firmware fetched GRUB",
        "DHCP was answered, GRUB was never fetched: TFTP is blocked between node and compute host, or the "
        "firmware boots by HTTP or IPv6 before it tries PXE by IPv4",
        files=("grubaa64.efi",),
    ),
    Rung(
        "tftp.sent",
        "GRUB fetched its script",
        "GRUB was fetched, its script never was: Secure Boot refused it, or GRUB found no network interface; "
        "see the console",
        files=("grub/arm64-efi/grub.cfg", "grub/grub.cfg"),
    ),
    Rung(
        "tftp.sent",
        "GRUB fetched the kernel",
        "GRUB's script was fetched, the kernel never was: GRUB stopped, or the transfer was cut; it fetches "
        "1 KiB at a time, so it may only be slow, and deploy.boot_deadline_s too short",
        files=("kernel",),
    ),
    Rung(
        "tftp.sent",
        "GRUB fetched the ramdisk",
        "the kernel was fetched, the ramdisk never was: the transfer was cut, memory is too small, or it is "
        "only slow, and deploy.boot_deadline_s too short",
        files=("ramdisk",),
    ),
)

AGENT = Rung(
    "agent.hello",
    "the agent in the ramdisk reported",
    "kernel and ramdisk were fetched, the agent never reported: the kernel panicked, has no driver for "
    "the NIC, or can't reach the compute host; see the console",
)
_UBOOT_AGENT = Rung(
    "agent.hello",
    AGENT.proven,
    "kernel and ramdisk were fetched, the agent never reported: the kernel and its ramdisk overlap in "
    "memory (kernel_addr_r, ramdisk_addr_r), the device tree at fdt_addr is another board's, the kernel "
    "panicked, has no driver for the NIC, or can't reach the compute host; see the console",
)

ASKED_FOR_METADATA = Rung(
    "instance.metadata",
    "the instance asked for its metadata",
    "",
    optional=True,
    then="its system runs and reads its metadata; nothing was heard of it after that: the image has no "
    "SSH server and doesn't phone home, or its cloud-init failed; see the console",
)


def _phones_home(missing: str) -> Rung:
    return Rung("instance.phone_home", "the instance phoned home", missing)


_RUNS_BY_ITS_KERNEL = (
    ASKED_FOR_METADATA,
    _phones_home(
        "the instance's kernel and ramdisk were fetched, nothing was heard of the instance after that: the "
        "kernel panicked, didn't find its root file system, or the image has no SSH server and doesn't phone "
        "home; see the console",
    ),
)

_FROM_DISK = (
    POWER,
    ASKED_FOR_METADATA,
    _phones_home(
        "the node was started from its disk, nothing was heard of the instance after that: the disk isn't "
        "bootable with this firmware, or the image has no SSH server and doesn't phone home; see the console",
    ),
)
_UBOOT_FROM_DISK = (
    *_UBOOT[: _UBOOT.index(_UBOOT_SCRIPT) + 1],
    ASKED_FOR_METADATA,
    _phones_home(
        "U-Boot was told to boot the board's own disk, nothing was heard of the instance after that: "
        "boot_targets doesn't name that disk, it holds neither extlinux.conf nor boot.scr nor an EFI "
        "loader, or the image has no SSH server and doesn't phone home; see the console",
    ),
)

TILERA_LADDER = (
    POWER,
    ASKS,
    OFFERED,
    ADDRESS,
    Rung(
        "tftp.sent",
        "the kernel was fetched by TFTP",
        "DHCP was answered, the kernel was never fetched: TFTP is blocked, or it boots from its CompactFlash",
        optional=True,
    ),
    Rung(
        "board.ping",
        "the board answered a ping",
        "the board took its address and never answered a ping: its kernel is for another processor or hangs, "
        "its root by NFS can't be mounted, or it boots longer than deploy.running_deadline_s allows",
    ),
    Rung(
        "board.root",
        "the board told that it runs on the root made for it",
        "the board answers pings, and its monitor doesn't tell the root that was made for it: tilera.monitor "
        "isn't the program of its release, or the outlet doesn't switch this board, which still runs what "
        "it ran before",
    ),
    Rung(
        "board.sshd",
        "its monitor started the SSH server",
        "the board runs on its root, and didn't start the SSH server: the image has none at /usr/sbin/sshd",
    ),
    _phones_home(
        "the SSH server was started and never greeted: the image has none at /usr/sbin/sshd or no host keys, "
        "or a packet filter of the image drops it",
    ),
)

RAMDISK_LADDERS: Mapping[str, Ladder] = {
    "ipxe": (*_IPXE, AGENT),
    "uboot": (*_UBOOT, _UBOOT_AGENT),
    "grub": (*_GRUB, AGENT),
}
"""By the node's boot driver. Tilera boards have no ramdisk."""

NETBOOT_INSTANCE_LADDERS: Mapping[str, Ladder] = {
    "ipxe": (*_IPXE, *_RUNS_BY_ITS_KERNEL),
    "uboot": (*_UBOOT, *_RUNS_BY_ITS_KERNEL),
    "grub": (*_GRUB, *_RUNS_BY_ITS_KERNEL),
    "tilera": TILERA_LADDER,
}

DISK_INSTANCE_LADDERS: Mapping[str, Ladder] = {
    "ipxe": _FROM_DISK,
    # Nothing tells a board from outside what to boot: it asks the network each time.
    "uboot": _UBOOT_FROM_DISK,
    "grub": _FROM_DISK,
}

"""From what was seen on the wire to the last step that was proven, and the likely cause of the rest.

A netbooting node climbs a ladder. The highest rung with evidence is the last thing proven; the first
rung without is what didn't happen, and each has its usual reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.core.model import TimelineEvent


@dataclass(frozen=True, slots=True)
class Rung:
    """One thing that a healthy boot shows.

    event:   name of the timeline event that proves it; `file` narrows http.sent and tftp.sent
    proven:  how a person says that it happened
    missing: the likely cause when everything below it happened and this didn't
    optional: some firmware, or some instances, skip it
    then:    the likely cause when this is the last thing that happened; else the next rung's `missing` tells
    """

    event: str
    proven: str
    missing: str
    file: str = ""
    optional: bool = False
    then: str = ""


RAMDISK_LADDER = (
    Rung(
        "power.on",
        "the power device confirmed that the node is on",
        "the power device never confirmed that the node came on: look at its power feed and its BMC",
    ),
    Rung(
        "dhcp.discover",
        "the node sent a DHCP request",
        "no DHCP request was seen: its NIC or cable is dead, its switch port blocks, it boots from another "
        "device, or the enrolled MAC address is not the one it boots from",
    ),
    Rung(
        "dhcp.ack",
        "the node took its address by DHCP",
        "DHCP was offered and never taken: a second DHCP server answers, or offers get lost on the way",
    ),
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
        file="boot.ipxe",
    ),
    Rung(
        "http.sent",
        "the kernel was fetched",
        "the boot script was fetched, the kernel never was: the loader stopped, or the transfer was cut",
        file="kernel",
    ),
    Rung(
        "http.sent",
        "the ramdisk was fetched",
        "the kernel was fetched, the ramdisk never was: the transfer was cut, or memory is too small",
        file="ramdisk",
    ),
    Rung(
        "agent.hello",
        "the agent in the ramdisk reported",
        "kernel and ramdisk were fetched, the agent never reported: the kernel panicked, has no driver for "
        "the NIC, or can't reach the compute host; see the console",
    ),
)

ASKED_FOR_METADATA = Rung(
    "instance.metadata",
    "the instance asked for its metadata",
    "",
    optional=True,
    then="its system runs and reads its metadata; nothing was heard of it after that: the image has no "
    "SSH server and doesn't phone home, or its cloud-init failed; see the console",
)

NETBOOT_INSTANCE_LADDER = (
    *RAMDISK_LADDER[:-1],
    ASKED_FOR_METADATA,
    Rung(
        "instance.phone_home",
        "the instance phoned home",
        "the instance's kernel and ramdisk were fetched, nothing was heard of the instance after that: the "
        "kernel panicked, didn't find its root file system, or the image has no SSH server and doesn't phone "
        "home; see the console",
    ),
)

DISK_INSTANCE_LADDER = (
    RAMDISK_LADDER[0],
    ASKED_FOR_METADATA,
    Rung(
        "instance.phone_home",
        "the instance phoned home",
        "the node was started from its disk, nothing was heard of the instance after that: the disk isn't "
        "bootable with this firmware, or the image has no SSH server and doesn't phone home; see the console",
    ),
)


TILERA_LADDER = (
    *RAMDISK_LADDER[:3],
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
        "board.sshd",
        "its monitor started the SSH server",
        "the board answers pings, and its monitor doesn't take commands: tilera.monitor isn't the program of "
        "its release, or the board hangs",
    ),
    Rung(
        "instance.phone_home",
        "the instance phoned home",
        "the SSH server was started and never greeted: the image has none at /usr/sbin/sshd or no host keys, "
        "or a packet filter of the image drops it",
    ),
)


@dataclass(frozen=True, slots=True)
class ConsoleSign:
    """What a kernel or its loader says when it goes no further. pattern: in a line; cause: what it means."""

    pattern: str
    cause: str


BOOT_STOPPED = (
    ConsoleSign(
        r"not ELF machine \d+",
        "Kernel and root file system must be built for the node's processor: register such an image",
    ),
    ConsoleSign(
        r"[Nn]o (working )?init found|Unable to mount root",
        "The root file system has no program to start, or wasn't served: look at the image and nfs.server",
    ),
    ConsoleSign(r"Kernel panic", "The instance's kernel panicked: look at the image"),
)


def boot_stopped(console: str) -> tuple[str, str] | None:
    """The line on which a boot ended, and what it means; None: nothing tells that it did."""
    for sign in BOOT_STOPPED:
        if found := re.search(rf"^.*(?:{sign.pattern}).*$", console, re.MULTILINE):
            return found.group(0).strip()[:200], sign.cause
    return None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    last_proven: str
    likely_cause: str


def diagnose(ladder: tuple[Rung, ...], events: Iterable[TimelineEvent]) -> Diagnosis:
    """The highest proven rung and the likely cause, from the events since the power was switched."""
    seen = {(event.name, str(event.detail.get("file", ""))) for event in events}
    names = {name for name, _ in seen}

    def proven(rung: Rung) -> bool:
        return (rung.event, rung.file) in seen if rung.file else rung.event in names

    highest = -1
    for position, rung in enumerate(ladder):
        if proven(rung):
            highest = position
    last = ladder[highest].proven if highest >= 0 else "nothing was seen of the node"
    if highest >= 0 and ladder[highest].then:
        return Diagnosis(last, ladder[highest].then)
    for rung in ladder[highest + 1 :]:
        if not rung.optional:
            return Diagnosis(last, rung.missing)
    return Diagnosis(last, "everything that the wire can show was seen; the console tells more")

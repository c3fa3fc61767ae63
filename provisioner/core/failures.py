"""Each code that a failure may have, for people to read: what happened, and what an operator does next.

The message of a failure says more of its own case; this is what all cases of a code have in common.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_ONE_VERSION = "Build the ramdisk anew (`provisioner ramdisk build`); if it comes again, report it"
_BAD_DISK = "Replace the disk or its cable"


@dataclass(frozen=True, slots=True)
class Known:
    happened: str
    remedy: str


FAILURES: Mapping[str, Known] = MappingProxyType(
    {
        "device-unreachable": Known(
            "no answer from its BMC, PDU or agent, whichever compute host asked",
            "Look at the device's power and network, and at the address in its entry, which "
            "`provisioner node power-device` corrects",
        ),
        "device-left-alone": Known(
            "its power device was silent several times in a row, and is asked only now and then",
            "As for `device-unreachable`; `provisioner node show NODE` says when it is asked again",
        ),
        "device-busy": Known(
            "its power device answered again and again that it can't do this now",
            "Reset the BMC, and look whether another program manages it too",
        ),
        "device-refused": Known(
            "its power device understood, and said no",
            "Its answer is in the message: rights of its user, a locked outlet, an outlet that isn't there "
            "(`provisioner node power-device` corrects its entry)",
        ),
        "wrong-credentials": Known(
            "its power device didn't accept the user or the password",
            "Set those of its entry on the device, or correct its entry by `provisioner node power-device`",
        ),
        "agent-never-reported": Known(
            "the deploy ramdisk was booted, and nothing came of it within `deploy.boot_deadline_s`, "
            "`deploy.boot_attempts` times",
            "See [how far the ramdisk came](#how-far-the-ramdisk-came), and `provisioner node console NODE`",
        ),
        "agent-lost": Known(
            "the agent in the ramdisk fell silent or was booted anew in mid-deploy, again and again",
            "Look at its console, its power supplies and its memory",
        ),
        "agent-of-another-version": Known(
            "the deploy ramdisk is of another version than the provisioner", "Run `provisioner ramdisk build`"
        ),
        "disk-missing": Known(
            "no disk is there, or none that `root_device` or `keep_disks` of its entry means",
            "The message lists those that are: correct both by `provisioner node disks`, or look at the "
            "disk's controller",
        ),
        "disk-too-small": Known(
            "the image and what goes behind it don't fit its disk",
            "Take a smaller image or flavor, or delete the node and enrol it with the right `disk_mib`",
        ),
        "disk-error": Known("the disk failed a read or a write", _BAD_DISK),
        "write-failed": Known(
            "the disk took no more of the image, attempt after attempt",
            "Replace the disk, or look at the wire between node and compute host (iSCSI, TCP 3260)",
        ),
        "not-a-disk": Known(
            "what was to be its disk isn't one", "Correct `root_device` by `provisioner node disks`"
        ),
        "image-differs-on-disk": Known(
            "what was read back isn't what was written, attempt after attempt", f"{_BAD_DISK}, or its memory"
        ),
        "partitioning-failed": Known(
            "the image's partition table couldn't be completed on its disk",
            f"The tool's own words are in the message. {_BAD_DISK}",
        ),
        "ephemeral-failed": Known(
            "no file system could be made for ephemeral storage",
            f"The tool's own words are in the message. {_BAD_DISK}",
        ),
        "swap-failed": Known(
            "no swap could be made", f"The tool's own words are in the message. {_BAD_DISK}"
        ),
        "instance-never-seen": Known(
            "the instance was started, and no proof of life came within `deploy.running_deadline_s`, "
            "`deploy.boot_attempts` times",
            "See [how far the instance came](#how-far-the-instance-came), and `provisioner instance console "
            "INSTANCE`; an image that neither phones home nor has an SSH server needs another `--proof`",
        ),
        "filter-failed": Known(
            "the board's monitor didn't apply the packet filter of the user data, though it answered before",
            "Its words are in the message: correct the rules. They apply to all but the compute host",
        ),
        "monitor-failed": Known(
            "the board answers pings, and its monitor didn't do what it was told, attempt after attempt",
            "Run the command of the message by hand: `tilera.monitor` may not be the program of the board's "
            "release",
        ),
        "boot-stopped": Known(
            "its console said that its boot goes no further",
            "See [what consoles say](#what-consoles-say), and register an image that starts",
        ),
        "image-invalid": Known(
            "the image's bytes aren't those of its checksum, or can't be used",
            "Register it again, intact",
        ),
        "image-too-large": Known(
            "the image is larger than the disk that was asked for",
            "Take a flavor or a node with more disk",
        ),
        "no-partition-table": Known("the image has no partition table", "Make it with a GPT or an MBR"),
        "partition-table-full": Known(
            "the image's partition table has no entry left for ephemeral storage, swap and config drive",
            "Make it with a GPT, or take a flavor without them",
        ),
        "file-system-damaged": Known(
            "the file system of the image's root can't be repaired",
            "Check it (`e2fsck -f`) before it is registered",
        ),
        "not-grown": Known(
            "the file system of the image's root couldn't be grown to its partition",
            "The tool's own words are in the message; make the image anew",
        ),
        "config-drive-too-small": Known("the user data doesn't fit the config drive", "Shorten it"),
        "config-drive-differs": Known("the config drive reads otherwise than it was written", "Report it"),
        "digests-not-comparable": Known(
            "ramdisk and image are of versions that compute digests differently",
            "Build the ramdisk anew, then register the image anew",
        ),
        "storage-full": Known(
            "a disk of a compute host, or one that hosts share, is full",
            "Make room where `state_dir` and `images_dir` are, and `nfs.folder` if roots are served",
        ),
        "host-lacks": Known(
            "no compute host that tried has what the work needs: a program, a driver, a key, a ramdisk",
            "The message says what; give it to every compute host, then ask again",
        ),
        "defect": Known("the provisioner itself failed", "Report it, with its log"),
        "internal-error": Known("the agent itself failed", "Report it, with the node's console"),
        "export-failed": Known("the agent couldn't offer the disk by iSCSI", _ONE_VERSION),
        "misaligned": Known("the agent was asked for a range that no disk has", _ONE_VERSION),
        "invalid-command": Known("the agent didn't understand a command", _ONE_VERSION),
        "invalid-params": Known("the agent didn't understand a command's parameters", _ONE_VERSION),
        "unknown-command-name": Known("the agent doesn't know a command", _ONE_VERSION),
        "tool-failed": Known(
            "a program in the ramdisk failed", "Its own words are in the message; look at the node's console"
        ),
        "not-found": Known("what was needed was removed meanwhile", "Ask again, with what there is"),
        "conflict": Known("something was in a state that doesn't allow it", "The message says which"),
        "invalid-input": Known("what was asked for can't be", "The message names the field"),
        "transient": Known(
            "something on the way to the node failed until there was no attempt left",
            "The message says what; look at network and services of the compute host, then ask again",
        ),
        "permanent": Known("something failed that trying again doesn't change", "The message says what"),
        "failed": Known("the agent failed without a name for it", "The message says what"),
        "wipe-failed": Known(
            "what was on a disk couldn't be removed; the node isn't offered again",
            f"{_BAD_DISK}, and clean the node again",
        ),
        "wipe-not-proven": Known(
            "a disk that was wiped doesn't read as zeros; the node isn't offered again",
            f"{_BAD_DISK}, and clean the node again",
        ),
        "interrupted": Known(
            "the process that received an image's bytes ended before it had all of them",
            "Send the bytes again, or delete the image and register it anew",
        ),
        "url-forbidden": Known(
            "a member's image is at an address that it may not come from",
            "Send the bytes, or have an operator allow its network (`image_urls.also`)",
        ),
    }
)
"""Deploys', as in `core/blame.py`; then cleanings', and images'."""


def remedy_of(code: str) -> str:
    """What an operator does next, in plain text; empty for a code that nobody has written down."""
    known = FAILURES.get(code)
    return re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", known.remedy).replace("`", "") if known else ""

"""What of a kernel's command line gets through to it: Linux drops what is more than it takes, and says
nothing; boot loaders make something else of some letters."""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioner.core.errors import InvalidInput

LONGEST = {
    "x86_64": 2047 - len("kernel initrd=ramdisk "),  # iPXE's own, by UEFI, and what our script for it says
    "arm64": 2047 - len("BOOT_IMAGE=/kernel "),  # GRUB's own; U-Boot adds nothing
    "armhf": 1023,
}
"""Letters: Linux's COMMAND_LINE_SIZE, without the NUL at its end, and what boot loaders add. Source: Linux,
arch/x86/include/asm/setup.h, arch/arm64/include/uapi/asm/setup.h, arch/arm/include/uapi/asm/setup.h"""

OURS = 255
"""Of them, kept for what is said before an image's own: consoles, and where its root is. By NFS that is 74
letters or so, and the path of the root's export."""


_UNSAFE: Mapping[str, re.Pattern[str]] = {
    # It has no quoting: these would end the command, or be expanded.
    "ipxe": re.compile(r"[^\x20-\x7e]|\$\{|(?:^|\s)(?:\|\||&&|#)"),
    # In single quotes its shell takes everything as it is, up to the next one. Quotes and backslashes that
    # get through it are escaped on their way to the kernel, which knows no such escapes, by GRUB 2.06; later
    # ones let them be (grub-core/lib/cmdline.c): nothing that is written here suits both.
    "grub": re.compile(r"[^\x20-\x7e]|['\"\\]"),
    # A line is a command.
    "uboot": re.compile(r"[^\x20-\x7e]"),
}
"""By boot driver: what its loader can't hand to a kernel as it is."""

_ONE_LOADER = {"x86_64": "ipxe", "armhf": "uboot"}
"""Architectures whose nodes all boot by the same."""


def unsafe_in(line: str, boot_driver: str) -> str:
    """The first of it that can't get through; empty: all can."""
    pattern = _UNSAFE.get(boot_driver)
    found = pattern.search(line) if pattern else None
    return found.group(0).strip() or found.group(0) if found else ""


def check_words_of(image: str, arch: str, words: str) -> None:
    """When it is registered. Raises InvalidInput."""
    if not words:
        return
    if arch not in LONGEST:
        answer = f"the kernel of a {arch} board has a command line of its own, and nobody can hand it another"
        advice = "Leave it out"
    elif len(words) > (most := LONGEST[arch] - OURS):
        answer = (
            f"it has {len(words)} letters, and may have {most}: {LONGEST[arch]} get through to a kernel of "
            f"{arch}, and {OURS} are kept for the provisioner's own words"
        )
        advice = "Shorten it: a kernel drops the rest without a word"
    elif unsafe := unsafe_in(words, _ONE_LOADER.get(arch, "")):
        answer = f"{unsafe!r} doesn't get through {_ONE_LOADER[arch]}, by which nodes of {arch} boot"
        advice = "Leave it out"
    else:
        return
    raise InvalidInput(f"register image {image}", field="command_line", answer=answer, advice=advice)


def check_whole(node: str, arch: str, line: str) -> None:
    """When a node is to be started with it, complete. Raises InvalidInput."""
    if len(line) > LONGEST.get(arch, len(line)):
        raise InvalidInput(
            f"tell node {node} its kernel's command line",
            field="command_line",
            answer=f"it has {len(line)} letters, and {LONGEST[arch]} get through to a kernel of {arch}",
            advice="Register the image anew with a shorter one; or shorten nfs.folder, if roots by NFS are "
            "exported under their own names",
        )

"""How much of a kernel's command line gets through to it: Linux drops what is more, and says nothing."""

from __future__ import annotations

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

"""What the boot configuration tells the agent, on the kernel's command line."""

from __future__ import annotations

import re
from typing import NamedTuple

NODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
FENCE = re.compile(r"[0-9]{1,18}")
URL = re.compile(r"http://[^\s,]{1,200}")


class BadCommandLine(Exception):
    """The kernel was booted without what the agent needs; the message says what."""


class BootOrders(NamedTuple):
    node: str
    token: str
    announce_urls: tuple[str, ...]
    boot_mac: str  # "" when the boot loader didn't say which port it booted from
    fence: int  # of the node's owner when this boot was published; 0 from a provisioner that doesn't say it

    def __repr__(self) -> str:
        return f"BootOrders(node={self.node!r})"  # without the token


def parse(command_line: str) -> BootOrders:
    words = dict(word.split("=", 1) for word in command_line.split() if "=" in word)
    node = words.get("provisioner.node", "")
    token = words.get("provisioner.token", "")
    fence = words.get("provisioner.fence", "0")
    urls = tuple(url for url in words.get("provisioner.announce", "").split(",") if url)
    if not NODE.fullmatch(node):
        raise BadCommandLine("provisioner.node=<id> is missing or malformed")
    if not TOKEN.fullmatch(token):
        raise BadCommandLine("provisioner.token=<16 to 128 letters and digits> is missing or malformed")
    if not urls or not all(URL.fullmatch(url) for url in urls):
        raise BadCommandLine("provisioner.announce=<http://…[,http://…]> is missing or malformed")
    if not FENCE.fullmatch(fence):
        raise BadCommandLine("provisioner.fence=<a whole number> is malformed")
    return BootOrders(node, token, urls, boot_mac(words.get("BOOTIF", "")), int(fence))


def boot_mac(bootif: str) -> str:
    """01-52-54-00-77-00-01 → 52:54:00:77:00:01; PXELINUX's form begins with the hardware type (01:
    Ethernet), iPXE's may not."""
    octets = re.findall(r"[0-9a-f]{2}", bootif.lower())
    return ":".join(octets[-6:]) if len(octets) >= 6 else ""

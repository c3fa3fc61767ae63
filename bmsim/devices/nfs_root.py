"""What Linux makes of a root by NFS that DHCP names: SERVER:PATH, and options after a comma.

Source: Documentation/admin-guide/nfs/nfsroot.rst; fs/nfs/nfsroot.c
"""

from __future__ import annotations

VERSION, TRANSPORT = "2", "udp"
"""Where nothing is said. Source: NFS_DEF_OPTIONS of Linux 4.16, the last to know the architecture."""

_SHORT = {"v2": "2", "v3": "3", "v4": "4", "v4.0": "4.0", "v4.1": "4.1", "v4.2": "4.2"}


def asks_for(root: str) -> tuple[str, str]:
    """The version and the transport that a kernel asks the server for: the last word counts."""
    version, transport = VERSION, TRANSPORT
    for option in root.split(",")[1:]:
        name, _, value = option.partition("=")
        if name in ("vers", "nfsvers"):
            version = value
        elif name in _SHORT:
            version = _SHORT[name]
        elif name == "proto":
            transport = value
        elif name in ("tcp", "udp"):
            transport = name
    return version, transport


def misfit(root: str) -> str:
    """Why a server of NFS 4, which is by TCP alone, doesn't give it; empty: it does."""
    version, transport = asks_for(root)
    if version.partition(".")[0] == "4" and transport == "tcp":
        return ""
    return f"it would ask for NFS {version} by {transport}, for {root!r} doesn't say vers=4,proto=tcp"

"""What nfs-ganesha is told: NFSv4 alone, and each root to its node alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from provisioner.core.errors import InvalidInput

NFS_PORT = 2049
MAX_EXPORTS = 65535  # Export_Id has 16 bits, and 0 is the root of the pseudo file system


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """number: unique among those in force, 1..65535."""

    number: int
    folder: Path
    nfs_path: str
    addresses: tuple[str, ...]


def static_part(address: IPv4Address, folder: Path) -> str:
    """folder: where it keeps what it knows of clients that were here before it was started."""
    return f"""
NFS_CORE_PARAM {{
    Protocols = 4;
    NFS_Port = {NFS_PORT};
    Bind_addr = {address};
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = none;
}}
NFSv4 {{
    # A node's root belongs to it alone, so that nobody else's locks wait to be reclaimed: no grace period.
    Graceless = true;
    Only_Numeric_Owners = true;
    RecoveryRoot = {_quoted(folder / "recovery")};
}}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT_DEFAULTS {{
    Access_Type = None;
    Squash = No_Root_Squash;
    SecType = sys;
    Protocols = 4;
    Transports = TCP;
}}
"""


def exports_part(exports: Iterable[Export]) -> str:
    """The exports, each for its clients alone."""
    return "".join(
        f"EXPORT {{ Export_Id = {export.number}; Path = {_quoted(export.folder)}; "
        f"Pseudo = {_quoted(export.nfs_path)}; "
        f"CLIENT {{ Clients = {', '.join(export.addresses)}; Access_Type = RW; }} "
        "FSAL { Name = VFS; } }\n"
        for export in exports
    )


def _quoted(path: Path | str) -> str:
    text = str(path)
    if '"' in text or "\n" in text:
        raise InvalidInput(
            "export a root directory", field="path", answer=f"{text!r} can't be told to nfs-ganesha"
        )
    return f'"{text}"'

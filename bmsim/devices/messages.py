"""What goes into a machine and what comes out of it: plain values.

A question carries a number (`ask`), its answer the same one. Questions are sent again under their number, and
an answer to a question that nobody asks any more is lost, as a packet to a closed port is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from typing import Any


class Architecture(IntEnum):
    """Client system architecture types (RFC 4578 §2.1, and IANA's list of them)."""

    BIOS = 0x00
    EFI_X64 = 0x07
    EFI_ARM = 0x0A
    EFI_ARM64 = 0x0B
    EFI_X64_HTTP = 0x10
    EFI_ARM64_HTTP = 0x13
    UBOOT_ARM = 0x15
    UBOOT_ARM64 = 0x16


class SystemKind(StrEnum):
    AGENT = "agent"
    INSTANCE = "instance"


# --- out: to the network ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DhcpDiscover:
    """architecture: None for a system, which boots nothing. client: "iPXE" where the user class says so;
    else the vendor class."""

    ask: int
    mac: str
    architecture: int | None
    client: str


@dataclass(frozen=True, slots=True)
class DhcpRequest:
    """address: what was offered. server: who offered it."""

    ask: int
    mac: str
    architecture: int | None
    client: str
    address: str
    server: str


@dataclass(frozen=True, slots=True)
class BootpRequest:
    """All that a client of RFC 951 asks: its address, and what to boot. Nobody's offer is taken up."""

    ask: int
    mac: str


@dataclass(frozen=True, slots=True)
class TftpRead:
    """received_bytes: what it has already, when it asks for the rest of a transfer that stalled."""

    ask: int
    mac: str
    address: str  # the machine's own
    server: str
    file: str
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class HttpGet:
    ask: int
    mac: str
    address: str  # the machine's own
    url: str


@dataclass(frozen=True, slots=True)
class NfsRead:
    """The first bytes of a file. root: SERVER:PATH, as DHCP names it; file: below it, absolute."""

    ask: int
    mac: str
    address: str  # the machine's own
    root: str
    file: str


Question = DhcpDiscover | DhcpRequest | BootpRequest | TftpRead | HttpGet | NfsRead

# --- out: what happens -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Console:
    """What the serial console says."""

    said: bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """A transfer is complete, at the machine's end. source: a file by TFTP, or a URL."""

    ask: int
    mac: str
    address: str
    source: str
    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Began:
    """The machine begins to boot. by_guest: its own system, or its own panic, had it reset."""

    by_guest: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A system runs, and its network is up. command_line: empty where it came from a disk."""

    kind: SystemKind
    name: str
    mac: str
    address: str
    command_line: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Whatever ran runs no longer; the machine is off, or begins anew (`Began` follows)."""

    why: str


@dataclass(frozen=True, slots=True)
class Hung:
    """Nothing goes on until a reset, a power-off, or the healing of the fault that did it."""

    why: str


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault has changed what would have happened."""

    fault: str


Output = Question | Console | Fetched | Began | Started | Stopped | Hung | Struck

# --- in: answers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DhcpOffer:
    """boot_file: a file of `server`, or a URL; empty: an address only."""

    ask: int
    address: str
    server: str
    boot_file: str = ""


@dataclass(frozen=True, slots=True)
class DhcpAck:
    """root_path: SERVER:PATH[,OPTIONS] of its root by NFS (RFC 2132 §3.19)."""

    ask: int
    address: str
    server: str
    boot_file: str = ""
    root_path: str = ""


@dataclass(frozen=True, slots=True)
class DhcpNak:
    ask: int


@dataclass(frozen=True, slots=True)
class BootpReply:
    """root_path: as of DhcpAck, in the vendor's area (RFC 1497)."""

    ask: int
    address: str
    server: str
    boot_file: str = ""
    root_path: str = ""


@dataclass(frozen=True, slots=True)
class TftpData:
    """The transfer goes on: all blocks come (complete), or so far only those up to `received_bytes`.
    head: the file's first bytes, for who looks into it; of a short one all."""

    ask: int
    size_bytes: int
    received_bytes: int = 0
    complete: bool = True
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class TftpError:
    ask: int
    why: str = "File not found"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """text: of a body that a loader reads. The body takes its time from here on."""

    ask: int
    status: int
    size_bytes: int = 0
    text: str | None = None


@dataclass(frozen=True, slots=True)
class HttpFailed:
    """No connection, or one that was cut."""

    ask: int
    why: str = "Connection reset"


@dataclass(frozen=True, slots=True)
class NfsData:
    ask: int
    head: bytes


@dataclass(frozen=True, slots=True)
class NfsError:
    """The server has answered, and there is no such file or export."""

    ask: int
    why: str = "No such file or directory"


OfDhcp = DhcpOffer | DhcpAck | DhcpNak | BootpReply
Answer = OfDhcp | TftpData | TftpError | HttpAnswer | HttpFailed | NfsData | NfsError

# --- in: from outside ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PowerOn:
    pass


@dataclass(frozen=True, slots=True)
class PowerOff:
    pass


@dataclass(frozen=True, slots=True)
class Reset:
    """Also of a power cycle: the machine begins anew."""


@dataclass(frozen=True, slots=True)
class ShutDown:
    """The power button (ACPI): a system that runs goes down; nothing else listens."""


@dataclass(frozen=True, slots=True)
class SystemReboots:
    """What runs had the machine reset."""


@dataclass(frozen=True, slots=True)
class SystemHalts:
    """What runs switched the machine off."""


@dataclass(frozen=True, slots=True)
class FaultsChanged:
    """What waits for a fault to be healed looks again."""


Input = Answer | PowerOn | PowerOff | Reset | ShutDown | SystemReboots | SystemHalts | FaultsChanged


def to_json(message: Input | Output) -> dict[str, Any]:
    """Stable: the kind first, then the fields in their order."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    shown = {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in values.items()
    }
    return {"kind": type(message).__name__, **shown}

"""What a board is told by its monitor or by SSH, as acts.

There is no processor that could run programs: this is what the model knows of them, and anything else is
refused by name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

NOT_FOUND, USAGE = 127, 2  # as shells and their programs exit

NIC = "xgbe0"
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Refuse:
    code: int
    why: str


@dataclass(frozen=True, slots=True)
class Dmesg:
    pass


@dataclass(frozen=True, slots=True)
class ReadFile:
    path: str


@dataclass(frozen=True, slots=True)
class ShowNic:
    pass


@dataclass(frozen=True, slots=True)
class SetMac:
    mac: str


@dataclass(frozen=True, slots=True)
class SetAddress:
    """prefix: None: as it is."""

    address: str
    prefix: int | None


@dataclass(frozen=True, slots=True)
class StartSshd:
    pass


@dataclass(frozen=True, slots=True)
class FilterPackets:
    """words: of iptables, after its name; it may list what there is."""

    words: tuple[str, ...]


Act = Say | Refuse | Dmesg | ReadFile | ShowNic | SetMac | SetAddress | StartSshd | FilterPackets


def act_of(words: Sequence[str]) -> Act:
    """What a command line does."""
    match [words[0].rpartition("/")[2] if words else "", *words[1:]]:
        case ["dmesg"]:
            return Dmesg()
        case ["uname", *options]:
            return Say("tilepro\n" if options == ["-m"] else "Linux\n")
        case ["nproc"]:
            return Say("64\n")
        case ["hostname"]:
            return ReadFile("/etc/hostname")
        case ["cat", path] if path.startswith("/"):
            return ReadFile(path)
        case ["ifconfig", *rest]:
            return _ifconfig(rest)
        case ["sshd"]:
            return StartSshd()
        case ["iptables", *rest] if rest:
            return FilterPackets(tuple(rest))
        case [""]:
            return Refuse(USAGE, "no command")
        case [name, *_]:
            return Refuse(NOT_FOUND, f"{name}: this board is a model, and no processor here could run it")
    raise AssertionError("every list was matched")


def _ifconfig(words: Sequence[str]) -> Act:
    match words:
        case [str(nic), *_] if nic != NIC:
            return Refuse(1, f"{nic}: error fetching interface information: Device not found")
        case [_] | []:
            return ShowNic()
        case [_, "hw", "ether", mac] if _MAC.fullmatch(mac):
            return SetMac(mac.lower())
        case [_, address, *rest]:
            return _address(address, rest)
    return Refuse(USAGE, f"ifconfig: {' '.join(words)!r} isn't understood")


def _address(address: str, rest: Sequence[str]) -> Act:
    try:
        parsed = ipaddress.IPv4Address(address)
        match rest:
            case [] | ["up"]:
                return SetAddress(str(parsed), None)
            case ["netmask", mask] | ["netmask", mask, "up"]:
                return SetAddress(str(parsed), ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen)
    except ValueError as error:
        return Refuse(USAGE, f"ifconfig: {error}")
    return Refuse(USAGE, f"ifconfig: {' '.join(rest)!r} isn't understood")

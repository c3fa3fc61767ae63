"""U-Boot of a board, as Debian builds it for QEMU's: the network decides, by a script; else its disk boots.

It asks DHCP, and takes `boot.scr.uimg` from the server by TFTP, whatever that names. Only what tries UEFI's
netboot afterwards looks at the boot file. Source: U-Boot 2023.01, include/config_distro_bootcmd.h, and what
its build's own environment says.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from bmsim.devices import net_client
from bmsim.devices.boot_shell import BadScript, End, Result, run
from bmsim.devices.messages import Architecture
from bmsim.devices.net_client import Body, DhcpClient, Lease
from bmsim.devices.running import Failure, Flow, Running
from bmsim.devices.system import Kernel, System, Then
from bmsim.devices.timing import UBOOT_DHCP_S, UBOOT_TFTP_S
from bmsim.devices.uboot_image import script_in
from bmsim.devices.uboot_memory import Held, Memory

SCRIPT = "boot.scr.uimg"

GZIPPED = b"\x1f\x8b"
UNPACKED_TIMES = 3
"""As long as a gzipped kernel is one of arm64 as Debian builds it."""

_EXPRESSIONS: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "%": operator.mod,
}
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {"-ge": operator.ge, "-lt": operator.lt}


@dataclass(frozen=True, slots=True)
class Build:
    """architecture, vendor: what its DHCP says. efi, efi_vendor: when it plays UEFI. boots: its command that
    starts a kernel."""

    architecture: Architecture
    vendor: str
    efi: Architecture
    efi_vendor: str
    boots: str


ARM64 = Build(
    Architecture.UBOOT_ARM64,
    "U-Boot.armv8",
    Architecture.EFI_ARM64,
    "PXEClient:Arch:00011:UNDI:003000",
    "booti",
)
ARMHF = Build(
    Architecture.UBOOT_ARM, "U-Boot.armv7", Architecture.EFI_ARM, "PXEClient:Arch:00010:UNDI:003000", "bootz"
)


class UBoot:
    """One boot of it."""

    def __init__(self, machine: Running, build: Build, system_on_disk: Callable[[], System | None]) -> None:
        self._machine = machine
        self._build = build
        self._system_on_disk = system_on_disk
        self._memory = Memory()
        self._variables = {
            # As a rack's boards are set up: the disk is what the network may decide for.
            "boot_targets": "dhcp virtio0",
            "scriptaddr": "40200000",
            "kernel_addr_r": "40400000",
            "ramdisk_addr_r": "44000000",
            "fdtcontroladdr": "7ee00000",
        }

    def boot(self) -> Flow[End]:
        """Never Then.NEXT_DEVICE: after the last target it waits for somebody to type."""
        self._machine.say("U-Boot 2023.01")
        for target in self._variables["boot_targets"].split():
            result = yield from self._target(target)
            if not isinstance(result, int):
                return result
        self._machine.say("=> ")
        yield from self._machine.stop("nothing to boot: U-Boot waits at its prompt")
        return Then.NEXT_DEVICE

    def _target(self, target: str) -> Flow[Result]:
        return (yield from (self._from_network() if target == "dhcp" else self._from_disk()))

    def _from_disk(self) -> Flow[Result]:
        system = self._system_on_disk()
        if system is None:
            return 1
        yield from self._machine.gate("loader")
        return system

    def _from_network(self) -> Flow[Result]:
        yield from self._machine.gate("loader")
        build, address = self._build, self._variables["scriptaddr"]
        lease = yield from self._dhcp(build.architecture, build.vendor)
        if lease is not None and (yield from self._load(address, lease.server, SCRIPT)) == 0:
            result = yield from self._source(address)
            if not isinstance(result, int):
                return result
        lease = yield from self._dhcp(build.efi, build.efi_vendor)
        if lease is not None:
            # Named by its own address in hexadecimal digits, where DHCP names nothing.
            default = f"{int(IPv4Address(lease.address)):08X}.img"
            yield from self._load(self._variables["kernel_addr_r"], lease.server, lease.boot_file or default)
        return 1

    def _dhcp(self, architecture: Architecture, vendor: str) -> Flow[Lease | None]:
        lease = yield from net_client.lease(self._machine, DhcpClient(architecture, vendor, UBOOT_DHCP_S))
        if isinstance(lease, Failure):
            self._machine.say("Retry time exceeded; starting again")
            return None
        self._machine.say(f"DHCP client bound to address {lease.address}")
        self._variables |= {"ipaddr": lease.address, "serverip": lease.server}
        return lease

    def _load(self, address: str, server: str, file: str) -> Flow[int]:
        self._memory.forget(_hex(address))
        got = yield from net_client.tftp(self._machine, server, file, UBOOT_TFTP_S)
        if not isinstance(got, Body):
            self._machine.say(got.why)
            return 1
        self._machine.say(f"Bytes transferred = {got.size_bytes} ({got.size_bytes:x} hex)")
        self._memory.put(_hex(address), Held(f"tftp://{server}/{file}", got.size_bytes, got.head))
        self._variables |= {"filesize": f"{got.size_bytes:x}", "fileaddr": address}
        return 0

    def _source(self, address: str) -> Flow[Result]:
        held = self._memory.at(_hex(address))
        script = script_in(held.head) if held is not None else None
        if script is None:
            self._machine.say("Wrong image format for source command")
            return 1
        self._machine.say(f"## Executing script at {address}")
        return (yield from self._run(script))

    def _run(self, script: str) -> Flow[Result]:
        try:
            return (yield from run(script, self._variables, self._execute))
        except BadScript as error:
            self._machine.say(str(error))
            return 1

    # --- commands ----------------------------------------------------------------------------------

    def _execute(self, words: Sequence[str]) -> Flow[Result]:
        match list(words):
            case ["echo", *said]:
                self._machine.say(" ".join(said))
                return 0
            case ["setenv", name, *values]:
                self._variables[name] = " ".join(values)
                return 0
            case ["test", *arguments]:
                return 0 if _holds(arguments) else 1
            case ["setexpr", name, left, sign, right] if sign in _EXPRESSIONS:
                self._variables[name] = f"{_EXPRESSIONS[sign](_hex(left), _hex(right)):x}"
                return 0
            case ["itest", left, sign, right] if sign in _COMPARISONS:
                return 0 if _COMPARISONS[sign](_hex(left), _hex(right)) else 1
            case ["sleep", seconds] if seconds.isdigit():
                yield from self._machine.sleep(float(seconds))
                return 0
            case ["run", name]:
                return (yield from self._run_variable(name))
            case ["tftpboot", address, file]:
                server, found, path = file.partition(":")
                given = (server, path) if found else (self._variables.get("serverip", ""), file)
                return (yield from self._load(address, *given))
            case [self._build.boots, kernel, ramdisk, _]:
                return (yield from self._boot(kernel, ramdisk.partition(":")[0]))
            case ["reset"]:
                return Then.REBOOT
            case [name, *_]:
                self._machine.say(f"Unknown command '{name}' - try 'help'")
        return 1

    def _run_variable(self, name: str) -> Flow[Result]:
        """What stands in one, or one of those that boot a target."""
        if name.startswith("bootcmd_"):
            return (yield from self._target(name.removeprefix("bootcmd_")))
        if name not in self._variables:
            self._machine.say(f'## Error: "{name}" not defined')
            return 1
        return (yield from self._run(self._variables[name]))

    def _boot(self, kernel: str, ramdisk: str) -> Flow[Result]:
        held = self._memory.at(_hex(kernel))
        root = self._memory.at(_hex(ramdisk)) if ramdisk != "-" else None
        if held is None or (root is None and ramdisk != "-"):
            self._machine.say("Bad Linux image magic!")
            return 1
        if held.head.startswith(GZIPPED) and not self._unpack(_hex(kernel), held):
            return 1
        self._machine.say("Starting kernel ...")
        if root is not None and self._memory.at(_hex(ramdisk)) is not root:
            self._machine.say(
                "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
            )
            yield from self._machine.stop("kernel panic: the kernel was unpacked over its ramdisk")
        return Kernel(held.source, root.source if root else "", self._variables.get("bootargs", ""))

    def _unpack(self, address: int, packed: Held) -> bool:
        """Elsewhere first, and then to where it was. Source: U-Boot 2023.01, cmd/booti.c"""
        there, size = (self._variables.get(f"kernel_comp_{name}", "") for name in ("addr_r", "size"))
        if not _hex(there) or not _hex(size):
            self._machine.say("kernel_comp_addr_r or kernel_comp_size is not provided!")
            return False
        whole = replace(packed, size_bytes=UNPACKED_TIMES * packed.size_bytes, head=b"")
        for place in (_hex(there), address):
            self._memory.put(place, whole)
        return True


def _hex(text: str) -> int:
    """As its commands read numbers: with 0x or without."""
    try:
        return int(text, 16)
    except ValueError:
        return 0


def _holds(arguments: Sequence[str]) -> bool:
    match list(arguments):
        case ["-z"]:
            return True  # of an empty word that wasn't quoted nothing is left
        case ["-z", word]:
            return not word
        case ["-n", word]:
            return bool(word)
        case [left, "=" | "==", right]:
            return left == right
        case [left, "!=", right]:
            return left != right
    return False

"""What firmware boots from: one device after the other, until something runs or nothing is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bmsim.devices import net_client
from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import Disk
from bmsim.devices.grub import Grub
from bmsim.devices.ipxe import Ipxe
from bmsim.devices.ipxe_script import End
from bmsim.devices.messages import Architecture
from bmsim.devices.net_client import Body, DhcpClient, Lease
from bmsim.devices.running import Failure, Flow, Running
from bmsim.devices.system import System, Systems, Then
from bmsim.devices.timing import BETWEEN_WAYS_S, PXE_DHCP_S, PXE_TFTP_S, UEFI_HTTP_S
from bmsim.devices.uboot import ARM64, ARMHF, UBoot


class Firmware(StrEnum):
    BIOS = "bios"  # a vendor's PXE ROM, which fetches iPXE by TFTP
    BIOS_IPXE = "bios_ipxe"  # iPXE is the ROM, as in QEMU's NICs
    UEFI = "uefi"
    UEFI_HTTP = "uefi_http"
    OVMF = "ovmf"  # by PXE, then by HTTP
    UEFI_ARM64 = "uefi_arm64"
    UEFI_ARM64_HTTP = "uefi_arm64_http"
    AAVMF = "aavmf"  # by PXE, then by HTTP
    UBOOT_ARM64 = "uboot_arm64"
    UBOOT_ARMHF = "uboot_armhf"


@dataclass(frozen=True, slots=True)
class Dialect:
    """architecture, vendor: what its DHCP says. other: the architecture that a wrong one says.
    platform, loader_architecture: of the iPXE that it runs; `grub`: it runs GRUB. gives_up: its last word."""

    architecture: Architecture
    vendor: str
    other: int
    platform: str
    loader_architecture: Architecture
    no_disk: str
    gives_up: str


EFI_IA32_HTTP, EFI_ARM_HTTP = 0x0F, 0x12

GRUB = "grub"
"""In the place of an iPXE's platform."""

GRUB_PLATFORM = "arm64-efi"

WAYS = {
    Firmware.OVMF: (Firmware.UEFI, Firmware.UEFI_HTTP),
    Firmware.AAVMF: (Firmware.UEFI_ARM64, Firmware.UEFI_ARM64_HTTP),
}
"""How firmware that has several ways tries each NIC, in order."""

_SEABIOS = ("Boot failed: not a bootable disk", "No bootable device.")
_BDS = (
    'BdsDxe: failed to load Boot0001 "UEFI Misc Device": Not Found',
    "BdsDxe: No bootable option or device was found.",
)

DIALECTS: Mapping[Firmware, Dialect] = {
    firmware: Dialect(
        architecture, f"{kind}:Arch:{architecture:05d}:UNDI:{undi}", other, platform, of, *words
    )
    for firmware, kind, architecture, undi, other, platform, of, words in (
        (Firmware.BIOS, "PXEClient", Architecture.BIOS, "002001", 7, "pcbios", Architecture.BIOS, _SEABIOS),
        (
            Firmware.BIOS_IPXE,
            "PXEClient",
            Architecture.BIOS,
            "002001",
            7,
            "pcbios",
            Architecture.BIOS,
            _SEABIOS,
        ),
        (Firmware.UEFI, "PXEClient", Architecture.EFI_X64, "003001", 0, "efi", Architecture.EFI_X64, _BDS),
        (
            Firmware.UEFI_HTTP,
            "HTTPClient",
            Architecture.EFI_X64_HTTP,
            "003001",
            EFI_IA32_HTTP,
            "efi",
            Architecture.EFI_X64,
            _BDS,
        ),
        (
            Firmware.UEFI_ARM64,
            "PXEClient",
            Architecture.EFI_ARM64,
            "003000",
            Architecture.EFI_ARM,
            GRUB,
            Architecture.EFI_ARM64,
            _BDS,
        ),
        (
            Firmware.UEFI_ARM64_HTTP,
            "HTTPClient",
            Architecture.EFI_ARM64_HTTP,
            "003000",
            EFI_ARM_HTTP,
            GRUB,
            Architecture.EFI_ARM64,
            _BDS,
        ),
    )
}


BUILDS = {Firmware.UBOOT_ARM64: ARM64, Firmware.UBOOT_ARMHF: ARMHF}


class BootManager:
    """The firmware of one machine."""

    __slots__ = ("_disk", "_firmware", "_machine", "_macs", "_systems", "_ways")

    def __init__(
        self, machine: Running, firmware: Firmware, macs: Sequence[str], disk: Disk | None, systems: Systems
    ) -> None:
        self._machine = machine
        self._firmware = firmware
        self._ways = tuple(DIALECTS[way] for way in WAYS.get(firmware, (firmware,)) if way in DIALECTS)
        self._macs = macs
        self._disk = disk
        self._systems = systems

    def boot(self, order: Sequence[BootDevice]) -> Flow[End]:
        """Never Then.NEXT_DEVICE: after the last device it waits for somebody to come. U-Boot has an order of
        its own, which nobody tells it."""
        if build := BUILDS.get(self._firmware):
            return (yield from UBoot(self._machine, build, self.system_on_disk).boot())
        for device in order:
            end = yield from (self._from_disk() if device is BootDevice.DISK else self._from_network())
            if end is not Then.NEXT_DEVICE:
                return end
        self._machine.say(self._ways[0].gives_up)
        yield from self._machine.stop("nothing to boot: the firmware has tried all there is")
        return Then.NEXT_DEVICE

    def _from_disk(self) -> Flow[End]:
        self._machine.say("Booting from Hard Disk...")
        system = self.system_on_disk()
        if system is None:
            self._machine.say(self._ways[0].no_disk)
            return Then.NEXT_DEVICE
        yield from self._machine.gate("loader")
        return system

    def system_on_disk(self) -> System | None:
        if self._disk is None or not self._disk.present:
            return None
        return self._systems.of_disk(self._disk)

    def _from_network(self) -> Flow[End]:
        for mac in self._macs:
            for number, dialect in enumerate(self._ways):
                if number:
                    yield from self._machine.sleep(BETWEEN_WAYS_S)
                end = yield from self._from_nic(mac, dialect)
                if end is not Then.NEXT_DEVICE:
                    return end
        return Then.NEXT_DEVICE

    def _from_nic(self, mac: str, dialect: Dialect) -> Flow[End]:
        self._machine.mac = self._machine.faults.mac(mac)
        self._machine.address = ""
        if self._firmware is not Firmware.BIOS_IPXE:
            lease = yield from self._load(dialect)
            if lease is None:
                return Then.NEXT_DEVICE
            if dialect.platform == GRUB:
                grub = Grub(self._machine, GRUB_PLATFORM, lease.server, self.system_on_disk)
                return (yield from grub.start())
        loader_architecture = self._architecture(dialect, dialect.loader_architecture)
        loader = Ipxe(self._machine, dialect.platform, loader_architecture, self.system_on_disk)
        return (yield from loader.start())

    def _load(self, dialect: Dialect) -> Flow[Lease | None]:
        """What led to its loader, which is there now, as what DHCP names; None: it isn't."""
        machine = self._machine
        architecture = self._architecture(dialect, dialect.architecture)
        if architecture != dialect.architecture:
            machine.faults.strikes("boot.wrong_arch")
        vendor = dialect.vendor.replace(f"{dialect.architecture:05d}", f"{architecture:05d}")
        lease = yield from net_client.lease(machine, DhcpClient(architecture, vendor, PXE_DHCP_S, boots=True))
        got: Body | Failure
        if isinstance(lease, Failure):
            got = lease
        elif "://" in lease.boot_file:
            got = yield from net_client.http(machine, lease.boot_file, UEFI_HTTP_S)
        else:
            got = yield from net_client.tftp(machine, lease.server, lease.boot_file, PXE_TFTP_S)
            machine.say(f"NBP filename is {lease.boot_file}")
        if isinstance(got, Failure):
            machine.say(f"PXE boot of {machine.mac} failed: {got.why}")
            return None
        assert isinstance(lease, Lease)
        if self._is_efi(lease.boot_file) != (dialect.platform != "pcbios"):
            machine.say(f"PXE boot of {machine.mac} failed: {lease.boot_file} is of another architecture")
            return None
        return lease

    def _architecture(self, dialect: Dialect, true: Architecture) -> int:
        """As DHCP is told."""
        wrong = self._machine.faults.has("boot.wrong_arch") and true is dialect.architecture
        return dialect.other if wrong else true

    @staticmethod
    def _is_efi(boot_file: str) -> bool:
        return boot_file.endswith(".efi")

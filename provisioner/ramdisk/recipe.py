"""What goes into the deploy ramdisk. Data alone; bump REVISION when the code that assembles it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

REVISION = 1

Kernel = Literal["hardware", "cloud"]
"""Debian's for all machines, or the one for virtual machines: it knows their devices alone, and where
processors are emulated it is up in half the time."""


SOC_MODULES = (
    "drivers/bus/*",
    "drivers/clk/*",
    "drivers/dma/*",
    "drivers/extcon/*",
    "drivers/gpio/*",
    "drivers/i2c/busses/*",
    "drivers/i2c/muxes/*",
    "drivers/interconnect/*",
    "drivers/mailbox/*",
    "drivers/mfd/*",
    "drivers/mux/*",
    "drivers/nvmem/*",
    "drivers/phy/*",
    "drivers/pinctrl/*",
    "drivers/power/supply/axp20x_usb_power.ko",
    "drivers/pwm/*",
    "drivers/regulator/*",
    "drivers/reset/*",
    "drivers/soc/*",
    "drivers/spi/*",
    "drivers/ufs/*",
    "drivers/usb/chipidea/*",
    "drivers/usb/dwc2/*",
    "drivers/usb/dwc3/*",
    "drivers/usb/isp1760/*",
    "drivers/usb/misc/onboard_usb_hub.ko",
    "drivers/usb/musb/*",
    "drivers/usb/phy/*",
    "drivers/usb/renesas_usbhs/*",
    "drivers/usb/typec/tcpm/*",
)
"""Of boards: what their disk controllers, USB and Ethernet wait for, each maker's own. What stands behind an
eMMC (clock, PHY, regulators, the PMIC behind I2C) is named by its device tree, not by its driver.
Source: Debian's initramfs-tools, hook-functions, auto_add_modules; and what that leaves to other hooks."""


@dataclass(frozen=True, slots=True)
class Architecture:
    name: str  # Debian's
    kernels: Mapping[Kernel, str]  # their packages
    machine: str  # what uname -m prints on it
    loader_package: str = ""  # what UEFI fetches first, where Debian has no iPXE
    loader: str = ""  # its file
    hardware_modules: tuple[str, ...] = ()  # of that kernel, beside KERNEL_MODULES

    def modules(self, kernel: Kernel) -> tuple[str, ...]:
        """Patterns of those that a kernel of its is taken with."""
        return KERNEL_MODULES + (self.hardware_modules if kernel == "hardware" else ())

    def kernel(self, wanted: Kernel) -> Kernel:
        """Not each has both: then it is hardware's."""
        return wanted if wanted in self.kernels else "hardware"


ARCHITECTURES = {
    arch.name: arch
    for arch in (
        Architecture(
            "amd64", {"hardware": "linux-image-amd64", "cloud": "linux-image-cloud-amd64"}, "x86_64"
        ),
        Architecture(
            "arm64",
            {"hardware": "linux-image-arm64", "cloud": "linux-image-cloud-arm64"},
            "aarch64",
            loader_package="grub-efi-arm64-bin",
            loader="usr/lib/grub/arm64-efi/monolithic/grubnetaa64.efi",
            hardware_modules=SOC_MODULES,
        ),
        Architecture("armhf", {"hardware": "linux-image-armmp"}, "armv7l", hardware_modules=SOC_MODULES),
    )
}

PACKAGES = (
    "busybox-static",
    "e2fsprogs",
    "fdisk",
    "kmod",
    "libpython3-stdlib",
    "python3-minimal",
    "tgt",
    "util-linux",
)

FIRMWARE_PACKAGES = (
    "firmware-bnx2",
    "firmware-bnx2x",
    "firmware-misc-nonfree",
    "firmware-qlogic",
    "firmware-realtek",
)
"""Some network cards of Broadcom, Intel, QLogic and Realtek want them. In Debian's non-free-firmware: taken
if the system's sources have it, left out if not."""

BUSYBOX = "bin/busybox"

PROGRAMS = (
    "bin/kmod",
    "sbin/blkid",
    "sbin/e2fsck",
    "sbin/mke2fs",
    "sbin/mkswap",
    "sbin/resize2fs",
    "sbin/sfdisk",
    "sbin/wipefs",
    "usr/bin/setpriv",
    "usr/sbin/tgtd",
)

NAMES = {
    "kmod": ("depmod", "insmod", "lsmod", "modprobe"),
    "busybox": (
        "cat", "find", "grep", "halt", "ip", "ls", "mkdir", "mount", "poweroff", "ps", "readlink", "reboot",
        "route", "sed", "setsid", "sh", "sleep", "sort", "tr", "udhcpc", "umount", "uname", "uniq", "xargs",
    ),
}  # fmt: skip
"""Programs that are several in one, by the name they are called by."""

UNUSED_PYTHON_MODULES = (
    "_pydecimal", "asyncio", "bz2", "decimal", "doctest", "lzma", "multiprocessing", "pdb", "pydoc",
    "ssl", "statistics", "tarfile", "tkinter", "unittest", "webbrowser", "zipfile",
)  # fmt: skip
"""Imported by modules that the agent uses, in functions that it doesn't."""

ENCODINGS = (
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_16_le",
    "encodings.utf_8",
    "stringprep",
)
"""Looked up by name at run time (host names are encoded by idna), so that no import shows them."""

KERNEL_MODULES = (
    "drivers/net/ethernet/*",
    "drivers/net/hyperv/*",
    "drivers/net/phy/*",
    "drivers/net/mdio/*",
    "drivers/net/virtio_net.ko",
    "drivers/net/vmxnet3/*",
    "drivers/net/xen-netfront.ko",
    "drivers/net/usb/*",
    "drivers/ata/*",
    "drivers/block/virtio_blk.ko",
    "drivers/block/xen-blkfront.ko",
    "drivers/block/mtip32xx/*",
    "drivers/hv/hv_vmbus.ko",
    "drivers/scsi/hv_storvsc.ko",
    "drivers/message/fusion/*",
    "drivers/mmc/core/*",
    "drivers/mmc/host/*",
    "drivers/nvme/host/*",
    "drivers/pci/controller/*",
    "drivers/scsi/3w-*",
    "drivers/scsi/aacraid/*",
    "drivers/scsi/arcmsr/*",
    "drivers/scsi/esas2r/*",
    "drivers/scsi/hpsa.ko",
    "drivers/scsi/hptiop.ko",
    "drivers/scsi/ipr.ko",
    "drivers/scsi/isci/*",
    "drivers/scsi/megaraid/*",
    "drivers/scsi/mpi3mr/*",
    "drivers/scsi/mpt3sas/*",
    "drivers/scsi/mvsas/*",
    "drivers/scsi/mvumi.ko",
    "drivers/scsi/pm8001/*",
    "drivers/scsi/sd_mod.ko",
    "drivers/scsi/smartpqi/*",
    "drivers/scsi/stex.ko",
    "drivers/scsi/virtio_scsi.ko",
    "drivers/scsi/vmw_pvscsi.ko",
    "drivers/usb/host/*",
    "drivers/virtio/virtio_mmio.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/packet/af_packet.ko",
)
"""Ports and disk controllers of servers and of their emulation; what they depend on comes along."""

EARLY_MODULES = ("drivers/block/loop.ko", "fs/squashfs/squashfs.ko", "arch/x86/kernel/cpuid.ko")
"""What /usr is mounted with; and, on x86, how the agent finds out that the CPU is emulated."""

UNUSED_KERNEL_MODULES = (
    "drivers/ata/pata_*",
    "drivers/net/ethernet/cavium/*",
    "drivers/net/ethernet/dec/*",
    "drivers/net/ethernet/mellanox/mlxsw/*",
    "drivers/net/ethernet/neterion/*",
    "drivers/net/ethernet/netronome/*",
    "drivers/net/ethernet/sun/*",
    "drivers/net/ethernet/3com/*",
    "drivers/net/ethernet/8390/*",
    "drivers/usb/host/*-hcd-*cs*",
)
"""Pieces of the above that no rack of today has."""

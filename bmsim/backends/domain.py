"""A node of the rack file as a libvirt domain."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as xml

from bmsim.backends import uboot
from bmsim.rack.spec import Node

UEFI = {
    "x86_64": (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
    "arm64": (Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")),
}
"""Code, and variables at first."""

QEMU_NAMES = {"x86_64": ("x86_64", "pc"), "arm64": ("aarch64", "virt"), "armhf": ("armv7l", "virt")}
PROCESSORS = {"arm64": "cortex-a57", "armhf": "cortex-a15"}
"""What U-Boot for these boards and Debian's kernels are known to run on."""

BRIDGES = {"provisioning": "prov", "management": "mgmt"}

RETRY_BOOT_MS = 3000
"""SeaBIOS tries its boot order again after this, as real machines do, instead of stopping for ever."""


def domain_xml(node: Node, folder: Path, *, kvm: bool, direct: bool) -> str:
    """libvirt's XML of the machine; its files lie in `folder`. direct: whether that can be read and written
    past the page cache.

    Source: https://libvirt.org/formatdomain.html
    """
    kvm = kvm and node.arch == "x86_64"  # others are emulated on whatever this system is
    domain = xml.Element("domain", type="kvm" if kvm else "qemu")
    _text(domain, "name", node.name)
    _text(domain, "memory", str(node.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(node.vcpus))
    _firmware(domain, node, folder)
    if node.firmware != "uboot":
        features = xml.SubElement(domain, "features")
        xml.SubElement(features, "acpi")
        if node.arch == "x86_64":
            xml.SubElement(features, "apic")
    _processor(domain, node, kvm)
    xml.SubElement(domain, "clock", offset="utc")
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "restart")):
        _text(domain, event, action)
    devices = xml.SubElement(domain, "devices")
    for number in range(len(node.disks)):
        _disk(devices, node, folder, number, direct)
    for nic in node.nics:
        interface = xml.SubElement(devices, "interface", type="bridge")
        xml.SubElement(interface, "mac", address=nic.mac)
        xml.SubElement(interface, "source", bridge=BRIDGES[nic.network])
        xml.SubElement(interface, "model", type="virtio")
        if not nic.ipxe or node.arch != "x86_64":  # QEMU's is for x86
            xml.SubElement(interface, "rom", enabled="no")
    _serial(devices, folder)
    rng = xml.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    xml.SubElement(devices, "memballoon", model="none")
    return xml.tostring(domain, encoding="unicode")


def disk_file(folder: Path, number: int) -> Path:
    return folder / f"disk{number}.raw"


def _firmware(domain: xml.Element, node: Node, folder: Path) -> None:
    system = xml.SubElement(domain, "os")
    arch, machine = QEMU_NAMES[node.arch]
    _text(
        system,
        "type",
        "hvm",
        arch=arch,
        machine="q35" if (node.arch, node.firmware) == ("x86_64", "uefi") else machine,
    )
    if node.firmware == "uefi":
        code, variables = UEFI[node.arch]
        _text(system, "loader", str(code), readonly="yes", type="pflash")
        _text(system, "nvram", str(folder / "nvram.fd"), template=str(variables))
    elif node.firmware == "uboot":
        code, environment = uboot.flash_files(folder)
        _text(system, "loader", str(code), readonly="yes", type="pflash")
        _text(system, "nvram", str(environment))
    else:
        xml.SubElement(system, "bios", useserial="yes", rebootTimeout=str(RETRY_BOOT_MS))
    if node.firmware != "uboot":
        # With nobody to tell it what comes first, the network does, and the disk when nothing answers there.
        for device in ("hd",) if node.bmc is not None else ("network", "hd"):
            xml.SubElement(system, "boot", dev=device)


def _processor(domain: xml.Element, node: Node, kvm: bool) -> None:
    if node.arch in PROCESSORS:
        processor = xml.SubElement(domain, "cpu", mode="custom", match="exact", check="none")
        _text(processor, "model", PROCESSORS[node.arch])
        return
    # Without KVM all that QEMU can emulate, which boots no slower than any smaller model; with it the host's.
    xml.SubElement(domain, "cpu", mode="host-passthrough" if kvm else "maximum")


def supports_direct_io(folder: Path) -> bool:
    """Whether files there can be opened with O_DIRECT: not on tmpfs, before Linux 6.6."""
    probe = folder / ".direct"
    try:
        os.close(os.open(probe, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


def _disk(devices: xml.Element, node: Node, folder: Path, number: int, direct: bool) -> None:
    disk = xml.SubElement(devices, "disk", type="file", device="disk")
    # Past the page cache: a hole that is read through it is first filled with zeros there, which takes three
    # times as long. Where that can't be, at least a guest's flush needn't reach the host's medium: what is
    # emulated is a machine that dies, not a host.
    cache = "none" if direct else "unsafe"
    xml.SubElement(
        disk, "driver", name="qemu", type="raw", cache=cache, discard="unmap", detect_zeroes="unmap"
    )
    xml.SubElement(disk, "source", file=str(disk_file(folder, number)))
    xml.SubElement(disk, "target", dev=f"vd{chr(ord('a') + number)}", bus="virtio")
    _text(disk, "serial", f"{node.name}-disk{number}")


def _serial(devices: xml.Element, folder: Path) -> None:
    serial = xml.SubElement(devices, "serial", type="unix")
    xml.SubElement(serial, "source", mode="bind", path=str(folder / "console.sock"))
    xml.SubElement(serial, "log", file=str(folder / "console.log"), append="on")
    xml.SubElement(serial, "target", port="0")


def _text(parent: xml.Element, tag: str, text: str, **attributes: str) -> None:
    xml.SubElement(parent, tag, attributes).text = text

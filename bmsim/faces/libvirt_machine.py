"""The machine behind a BMC, as a libvirt domain. Calls block; each BMC has a process of its own."""

from __future__ import annotations

from xml.etree import ElementTree as xml

import libvirt

from bmsim.devices.bmc import Act, BootFlags

BOOT_DEVICES = {1: "network", 2: "hd", 5: "cdrom"}


class MachineRefused(Exception):
    """libvirt didn't do it; the message is libvirt's."""


class LibvirtMachine:
    """One domain. The connection is opened at need and again after a loss.

    `order` is the boot order that the firmware has when no flag overrides it.
    """

    def __init__(self, uri: str, domain: str) -> None:
        self._uri = uri
        self._name = domain
        self._connection: libvirt.virConnect | None = None
        self._order = self._boot_order(running=False)
        libvirt.registerErrorHandler(lambda *_: None, None)

    def is_on(self) -> bool:
        return bool(self._domain().isActive())

    def do(self, act: Act, flags: BootFlags) -> bool:
        """Carries out one act; True when the machine starts anew by it. Raises MachineRefused."""
        try:
            return self._do(act, flags)
        except libvirt.libvirtError as error:
            raise MachineRefused(str(error)) from error

    def _do(self, act: Act, flags: BootFlags) -> bool:
        domain = self._domain()
        active = domain.isActive()
        match act:
            case Act.ON:
                if active:
                    return False
                self._start(flags)
                return True
            case Act.OFF:
                if active:
                    domain.destroy()
                return False
            case Act.CYCLE | Act.RESET:
                # By destroying it: QEMU keeps the boot order it was started with through a reset.
                domain.destroy()
                self._start(flags)
                return True
            case Act.DIAGNOSE:
                domain.injectNMI()
            case Act.SHUT_DOWN:
                domain.shutdown()
            case Act.RESTART_BMC:
                pass
        return False

    def _start(self, flags: BootFlags) -> None:
        device = BOOT_DEVICES.get(flags.selector) if flags.valid else None
        self._define(device or self._order)
        self._domain().create()
        self._define(self._order)

    def _domain(self) -> libvirt.virDomain:
        if self._connection is None or not self._connection.isAlive():
            self._connection = libvirt.open(self._uri)
        return self._connection.lookupByName(self._name)

    def _boot_order(self, *, running: bool) -> str:
        flags = 0 if running else libvirt.VIR_DOMAIN_XML_INACTIVE
        boot = xml.fromstring(self._domain().XMLDesc(flags)).find("os/boot")
        return "hd" if boot is None else str(boot.get("dev"))

    def _define(self, device: str) -> None:
        domain = self._domain()
        tree = xml.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
        os = tree.find("os")
        assert os is not None
        for boot in os.findall("boot"):
            os.remove(boot)
        xml.SubElement(os, "boot", dev=device)
        assert self._connection is not None
        self._connection.defineXML(xml.tostring(tree, encoding="unicode"))

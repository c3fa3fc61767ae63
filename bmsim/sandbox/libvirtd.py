"""libvirt inside the rack: its daemon, and the machines that it is told of."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as xml

import libvirt

from bmsim.backends import uboot
from bmsim.backends.domain import disk_file, domain_xml, supports_direct_io
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState

URI = "qemu:///system"

PID_FILE = Path("/run/libvirtd.pid")

COVERED = ("/run", "/var/lib/libvirt", "/var/log", "/etc/libvirt", "/var/cache/libvirt")
"""Where libvirt keeps its state on this system; a rack covers them with its own."""

# No user to drop to, no security driver, no cgroups: the rack's namespaces are the fence, and its PID
# namespace ends everything. stdio_handler: without it libvirt wants virtlogd.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""


def cover_folders() -> None:
    """Called once, inside the rack's own mount namespace."""
    for folder in COVERED:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=755", "rack", folder], check=True, capture_output=True
        )
    Path("/var/log/libvirt/qemu").mkdir(parents=True)
    Path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)


def start_libvirtd() -> int:
    """Returns libvirtd's process id when it answers; it becomes a child of the rack's first process."""
    # Not to a pipe of ours: the daemon would keep it open, and we would wait for its end.
    subprocess.run(["libvirtd", "--daemon", "--pid-file", str(PID_FILE)], check=True, stdout=sys.stderr)
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.open(URI).close()
    return int(PID_FILE.read_text())


async def keep_libvirtd(pid: int, say: Callable[[str], None]) -> None:
    """Starts libvirtd again whenever it ends. Machines run on meanwhile; it finds them again."""
    while True:
        await _end_of(pid)
        say("libvirtd ended and is started again")
        pid = await asyncio.to_thread(start_libvirtd)


async def _end_of(pid: int) -> None:
    """Returns when the process, no child of ours, has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def define_machines(rack: Rack, state: RackState, *, kvm: bool) -> None:
    """Every node is a defined, switched-off domain with empty disks."""
    connection = libvirt.open(URI)
    try:
        for node in rack.machines:
            folder = state.node_folder(node.name)
            for number, disk in enumerate(node.disks):
                with disk_file(folder, number).open("wb") as file:
                    file.truncate(disk.size_mib * 2**20)
            if node.firmware == "uboot":
                uboot.make_flash(node.arch, folder)
            direct = supports_direct_io(folder)
            connection.defineXML(domain_xml(node, folder, kvm=kvm, direct=direct))
    finally:
        connection.close()


def set_link(node: str, *, up: bool) -> None:
    """Plugs or unplugs the cables of all NICs of a machine, now and for its next starts."""
    connection = libvirt.open(URI)
    try:
        domain = connection.lookupByName(node)
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if domain.isActive():
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        tree = xml.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        for interface in tree.iterfind("devices/interface"):
            for link in interface.findall("link"):
                interface.remove(link)
            xml.SubElement(interface, "link", state="up" if up else "down")
            domain.updateDeviceFlags(xml.tostring(interface, encoding="unicode"), flags)
    finally:
        connection.close()


def cut_power(node: str) -> None:
    """The machine is off at once, as if its mains were cut. Idempotent."""
    connection = libvirt.open(URI)
    try:
        domain = connection.lookupByName(node)
        if domain.isActive():
            domain.destroy()
    finally:
        connection.close()


def give_power(node: str) -> None:
    """The machine starts. Does nothing to one that is on."""
    connection = libvirt.open(URI)
    try:
        domain = connection.lookupByName(node)
        if not domain.isActive():
            domain.create()
    finally:
        connection.close()


def restart(node: str) -> None:
    """As by its reset button. Does nothing to a machine that is off."""
    connection = libvirt.open(URI)
    try:
        domain = connection.lookupByName(node)
        if domain.isActive():
            domain.reset()
    finally:
        connection.close()


def freeze(node: str) -> None:
    """Nothing in the machine goes on any more, though it is on. Does nothing to one that is off."""
    connection = libvirt.open(URI)
    try:
        domain = connection.lookupByName(node)
        if domain.isActive():
            domain.suspend()
    finally:
        connection.close()


def thaw(node: str) -> None:
    """A machine that was frozen goes on. Idempotent."""
    connection = libvirt.open(URI)
    try:
        domain = connection.lookupByName(node)
        if domain.isActive() and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
    finally:
        connection.close()


def is_running(node: str) -> bool:
    connection = libvirt.open(URI)
    try:
        return bool(connection.lookupByName(node).isActive())
    finally:
        connection.close()

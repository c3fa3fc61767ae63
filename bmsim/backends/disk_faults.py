"""Faults of a machine's first disk, brought about in libvirt and QEMU. They raise libvirt.libvirtError."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as xml

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]

BROKEN = "bmsim-broken"
"""The block node that is put before a disk whose writes fail."""

USUAL_BYTES_A_S = 100_000_000
"""Of a disk that isn't slow, by which a factor is reckoned: an emulated one takes what its host gives."""

EIO = 5  # asm-generic/errno-base.h
SECTORS_A_MIB = 2048

ALREADY_THERE = "Duplicate nodes with node-name"


class DiskFaultFailed(OSError):
    """QEMU didn't take it; the message has its words."""


def fail_writes(uri: str, node: str, at_mib: int | None) -> None:
    """From now on, while the machine is on: each write, or each that touches the first sector of a MiB.
    Idempotent; nothing happens to a machine that is off."""
    with _domain(uri, node) as domain:
        if not domain.isActive():
            return
        rule: dict[str, Any] = {"event": "none", "iotype": "write", "errno": EIO, "once": False}
        if at_mib is not None:
            rule["sector"] = at_mib * SECTORS_A_MIB
        # Past the page cache, as libvirt has the node below it.
        broken = {"driver": "blkdebug", "node-name": BROKEN, "image": _disk_node(domain)}
        try:
            _qemu(domain, "blockdev-add", **broken, **{"inject-error": [rule]})
        except DiskFaultFailed as error:
            if ALREADY_THERE not in str(error):
                raise
            return
        _use(domain, BROKEN)


def mend_writes(uri: str, node: str) -> None:
    """Idempotent."""
    with _domain(uri, node) as domain:
        if not domain.isActive():
            return
        found = {each["node-name"]: each for each in _qemu(domain, "query-named-block-nodes")}
        if BROKEN in found:
            _use(domain, _below(domain))
            _qemu(domain, "blockdev-del", **{"node-name": BROKEN})


def slow_down(uri: str, node: str, factor: float) -> None:
    """From now on, and at the next starts: what is read and written shares so many times less than is usual.
    Sources: https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainSetBlockIoTune; QEMU's
    docs/throttle.txt: it takes what a tenth of a second may take at once, so a short transfer isn't slower.
    """
    _throttle(uri, node, max(1, int(USUAL_BYTES_A_S / factor)))


def speed_up(uri: str, node: str) -> None:
    """Idempotent."""
    _throttle(uri, node, 0)


def _throttle(uri: str, node: str, bytes_a_s: int) -> None:
    """0: as fast as it can."""
    with _domain(uri, node) as domain:
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if domain.isActive():
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        limits = {libvirt.VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC: bytes_a_s}
        domain.setBlockIoTune(_first_disk(domain), limits, flags)


def shrink(uri: str, node: str, size_mib: int) -> None:
    """From the machine's next start on it sees a disk of this size. What lies behind is kept."""
    _set_slice(uri, node, size_mib * 2**20)


def unshrink(uri: str, node: str) -> None:
    """Idempotent."""
    _set_slice(uri, node, None)


def _set_slice(uri: str, node: str, size_bytes: int | None) -> None:
    with _domain(uri, node) as domain:
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        root = xml.fromstring(domain.XMLDesc(flags))
        source = root.find("devices/disk/source")
        assert source is not None, "every node has a disk"
        for slices in source.findall("slices"):
            source.remove(slices)
        if size_bytes is not None:
            slices = xml.SubElement(source, "slices")
            xml.SubElement(slices, "slice", type="storage", offset="0", size=str(size_bytes))
        domain.connect().defineXML(xml.tostring(root, encoding="unicode"))


@contextmanager
def _domain(uri: str, node: str) -> Iterator[libvirt.virDomain]:
    connection = libvirt.open(uri)
    try:
        yield connection.lookupByName(node)
    finally:
        connection.close()


def _first_disk(domain: libvirt.virDomain) -> str:
    """As machines see it, vda."""
    target = xml.fromstring(domain.XMLDesc(0)).find("devices/disk/target")
    assert target is not None, "every node has a disk"
    return str(target.get("dev"))


def _device(domain: libvirt.virDomain) -> str:
    alias = xml.fromstring(domain.XMLDesc(0)).find("devices/disk/alias")
    assert alias is not None, "every running machine's disk has an alias"
    return f"/machine/peripheral/{alias.get('name')}"


def _disk_node(domain: libvirt.virDomain) -> str:
    """The block node that the machine's first disk uses now."""
    device = _device(domain)
    for block in _qemu(domain, "query-block"):
        if str(block.get("qdev", "")).startswith(device):
            return str(block["inserted"]["node-name"])
    raise DiskFaultFailed(f"QEMU knows no block device of {device}")


def _below(domain: libvirt.virDomain) -> str:
    """The node that the broken one stands before."""
    edges = _qemu(domain, "x-debug-query-block-graph")
    ids = {each["name"]: each["id"] for each in edges["nodes"]}
    names = {number: name for name, number in ids.items()}
    return str(next(names[edge["child"]] for edge in edges["edges"] if edge["parent"] == ids[BROKEN]))


def _use(domain: libvirt.virDomain, node: str) -> None:
    _qemu(domain, "qom-set", path=_device(domain), property="drive", value=node)


def _qemu(domain: libvirt.virDomain, command: str, **arguments: Any) -> Any:
    order = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, order, 0))
    if "error" in answer:
        raise DiskFaultFailed(f"QEMU, {command}: {answer['error'].get('desc')}")
    return answer["return"]

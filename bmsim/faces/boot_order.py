"""The boot order in a libvirt domain's XML, and what its BMC wrote beside it.

Source: https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as xml

NAMESPACE = "urn:bmsim:bmc"
TAG = f"{{{NAMESPACE}}}boot"
xml.register_namespace("bmc", NAMESPACE)

DEFAULT_ORDER = ("hd",)
"""libvirt's, where the XML doesn't say."""


@dataclass(frozen=True, slots=True)
class BootOrder:
    """own:   the machine's order when no flag overrides it
    now:   the order that the next start follows
    kept:  the BMC's non-volatile storage"""

    own: tuple[str, ...]
    now: tuple[str, ...]
    kept: bytes = b""

    def overridden(self, device: str | None, kept: bytes) -> BootOrder:
        """device: tried first; None: the machine's own order."""
        rest = tuple(other for other in self.own if other != device)
        return BootOrder(self.own, self.own if device is None else (device, *rest), kept)


def read(domain_xml: str) -> BootOrder:
    root = xml.fromstring(domain_xml)
    now = _order(root)
    note = root.find(f"metadata/{TAG}")
    if note is None:
        return BootOrder(own=now, now=now)
    return BootOrder(tuple(note.get("own", "").split()) or now, now, bytes.fromhex(note.get("kept", "")))


def written(domain_xml: str, order: BootOrder) -> str:
    """The XML with this order instead of its own."""
    root = xml.fromstring(domain_xml)
    for device in root.findall("devices/*"):
        _remove(device, "boot")  # libvirt takes either kind, not both
    system = root.find("os")
    assert system is not None, "libvirt's XML always has <os>"
    _remove(system, "boot")
    for name in order.now:
        xml.SubElement(system, "boot", dev=name)
    metadata = root.find("metadata")
    if metadata is None:
        metadata = xml.SubElement(root, "metadata")
    _remove(metadata, TAG)
    if order.now != order.own or order.kept:
        xml.SubElement(metadata, TAG, own=" ".join(order.own), kept=order.kept.hex())
    if not len(metadata):
        root.remove(metadata)
    return xml.tostring(root, encoding="unicode")


def device_aliases(live_xml: str) -> dict[str, str]:
    """The running machine's first disk, CD drive and NIC, which are those that a boot order means."""
    root = xml.fromstring(live_xml)
    found = {
        "hd": root.find("devices/disk[@device='disk']/alias"),
        "cdrom": root.find("devices/disk[@device='cdrom']/alias"),
        "network": root.find("devices/interface/alias"),
    }
    return {kind: alias.get("name", "") for kind, alias in found.items() if alias is not None}


def _order(root: xml.Element) -> tuple[str, ...]:
    listed = tuple(boot.get("dev", "") for boot in root.findall("os/boot"))
    if listed:
        return listed
    numbered: dict[int, str] = {}
    for device in root.findall("devices/*"):
        boot = device.find("boot")
        if boot is not None:
            kind = {"interface": "network"}.get(device.tag) or (
                "cdrom" if device.get("device") == "cdrom" else "hd"
            )
            numbered[int(boot.get("order", "0"))] = kind
    return tuple(dict.fromkeys(numbered[number] for number in sorted(numbered))) or DEFAULT_ORDER


def _remove(parent: xml.Element, tag: str) -> None:
    for child in parent.findall(tag):
        parent.remove(child)

"""What EC2's metadata service tells an instance of itself, as a tree of folders and texts.

Names: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provisioner.core.ec2_ids import account_of, image_id, instance_id, kernel_id, public_id, ramdisk_id
from provisioner.core.model import Image, Instance, Port

EPHEMERAL_LABEL = "ephemeral0"
"""Of the file system that the agent makes for it."""


@dataclass(frozen=True, slots=True)
class Folder:
    """title: what stands in its parent's list instead of its name alone, as of keys: `0=me`"""

    entries: Mapping[str, Folder | str]
    title: str = ""

    def find(self, way: Sequence[str]) -> Folder | str | None:
        here: Folder | str | None = self
        for name in way:
            here = here.entries.get(name) if isinstance(here, Folder) else None
        return here

    def listing(self) -> str:
        return "\n".join(_listed(name, entry) for name, entry in self.entries.items())


def _listed(name: str, entry: Folder | str) -> str:
    if isinstance(entry, str):
        return name
    return f"{name}={entry.title}" if entry.title else f"{name}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node is. network: of its addresses, such as 10.77.0.0/24"""

    region: str
    zone: str
    network: str


def metadata_of(instance: Instance, image: Image, ports: Sequence[Port], asks: Port, place: Place) -> Folder:
    """All below a version. asks: the port that the question came from."""
    entries: dict[str, Folder | str] = {
        "dynamic": Folder(
            {"instance-identity": Folder({"document": _identity(instance, image, asks, place)})}
        ),
        "meta-data": Folder(_meta_data(instance, image, ports, asks, place)),
    }
    if instance.user_data:
        entries["user-data"] = instance.user_data
    return Folder(entries)


def _meta_data(
    instance: Instance, image: Image, ports: Sequence[Port], asks: Port, place: Place
) -> dict[str, Folder | str]:
    told: dict[str, Folder | str] = {
        "ami-id": image_id(image),
        "ami-launch-index": str(instance.launch_index),
        "ami-manifest-path": "(unknown)",
        **_block_devices(instance),
        "hostname": instance.name,
        "instance-action": "none",
        "instance-id": instance_id(instance.id),
        "instance-life-cycle": "on-demand",
        "instance-type": instance.flavor.name,
    }
    if instance.kernel_id:
        told["kernel-id"] = kernel_id(instance.kernel_id)
    macs = {port.id: Folder(_interface(instance, port, number, place)) for number, port in enumerate(ports)}
    told |= {
        "local-hostname": instance.name,
        "local-ipv4": asks.address,
        "mac": asks.id,
        "network": Folder({"interfaces": Folder({"macs": Folder(macs)})}),
        "placement": Folder({"availability-zone": place.zone, "region": place.region}),
    }
    if instance.public_key:
        key = Folder({"openssh-key": instance.public_key}, title=instance.key_name or "key")
        told["public-keys"] = Folder({"0": key})
    if instance.ramdisk_id:
        told["ramdisk-id"] = ramdisk_id(instance.ramdisk_id)
    told["reservation-id"] = instance.reservation_id or public_id("r", instance.id)
    return told


def _block_devices(instance: Instance) -> dict[str, Folder | str]:
    """By what the instance can find it under, whatever its kernel calls the disk."""
    if not instance.flavor.ephemeral_mib:
        return {}
    return {"block-device-mapping": Folder({"ephemeral0": f"/dev/disk/by-label/{EPHEMERAL_LABEL}"})}


def _interface(instance: Instance, port: Port, number: int, place: Place) -> dict[str, Folder | str]:
    return {
        "device-number": str(number),
        "local-hostname": instance.name,
        "local-ipv4s": port.address,
        "mac": port.id,
        "owner-id": account_of(instance.tenant),
        "subnet-ipv4-cidr-block": place.network,
    }


def _identity(instance: Instance, image: Image, asks: Port, place: Place) -> str:
    """Not signed: it tells an instance who it is, and proves nothing to others."""
    told = {
        "accountId": account_of(instance.tenant),
        "architecture": image.arch,
        "availabilityZone": place.zone,
        "imageId": image_id(image),
        "instanceId": instance_id(instance.id),
        "instanceType": instance.flavor.name,
        "kernelId": kernel_id(instance.kernel_id) if instance.kernel_id else None,
        "pendingTime": instance.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "privateIp": asks.address,
        "ramdiskId": ramdisk_id(instance.ramdisk_id) if instance.ramdisk_id else None,
        "region": place.region,
        "version": "2017-09-30",
    }
    return json.dumps(told, indent=2)

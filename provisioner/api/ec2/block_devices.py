"""BlockDeviceMappings, as far as a machine with disks of its own has a use for them: its root disk's size,
and the ephemeral storage that its flavor has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.api.ec2.errors import bad_value, unsupported
from provisioner.core.model import Flavor

ROOT_DEVICES = frozenset({"/dev/sda1", "/dev/sda", "/dev/xvda", "/dev/vda", "/dev/nvme0n1"})
"""What clients call the disk that they boot from. The machine's own kernel calls it as it likes."""

EPHEMERAL = "ephemeral0"

_AS_IT_IS: Mapping[str, object] = {"DeleteOnTermination": True, "Encrypted": False}
"""What may be asked for, since it is so: disks are wiped when an instance ends."""


def check(given: Iterable[Mapping[str, Any]], flavor: Flavor) -> None:
    """Raises Ec2Error for what isn't there, and for a root disk that is larger than the flavor's."""
    for one in given:
        if "VirtualName" in one:
            _check_ephemeral(one, flavor)
            continue
        ebs = dict(one.get("Ebs", {}))
        size_gib = ebs.pop("VolumeSize", 0)
        for name, meant in _AS_IT_IS.items():
            if ebs.pop(name, meant) != meant:
                raise unsupported(f"The parameter BlockDeviceMapping.Ebs.{name}={str(not meant).lower()}")
        others = [name for name in one if name not in ("DeviceName", "Ebs")]
        others += [f"Ebs.{name}" for name in ebs]
        if others:
            raise unsupported(f"The parameter BlockDeviceMapping.{others[0]}")
        if one.get("DeviceName") not in ROOT_DEVICES:
            raise unsupported("A block device other than the root")
        if not 0 <= size_gib * 1024 <= flavor.disk_mib:
            told = f"{flavor.name} has {flavor.disk_mib} MiB of disk"
            raise bad_value("BlockDeviceMapping.Ebs.VolumeSize", told)


def _check_ephemeral(one: Mapping[str, Any], flavor: Flavor) -> None:
    """It is there without being asked for, and called as the machine's kernel calls it."""
    others = [name for name in one if name not in ("DeviceName", "VirtualName")]
    if others:
        raise unsupported(f"The parameter BlockDeviceMapping.{others[0]} beside VirtualName")
    if one["VirtualName"] != EPHEMERAL or not flavor.ephemeral_mib:
        told = f"{flavor.name} has {EPHEMERAL} alone" if flavor.ephemeral_mib else f"{flavor.name} has none"
        raise bad_value("BlockDeviceMapping.VirtualName", told)

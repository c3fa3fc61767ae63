"""DescribeInstanceTypes: our flavors, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.filters import Filters, Looks
from provisioner.api.ec2.other_filters import OTHERS
from provisioner.api.ec2.paging import page
from provisioner.core.extra_specs import ARCHITECTURES, asks_for_another
from provisioner.core.model import Flavor
from provisioner.protocols.store import Tx

_MEMBERS: Mapping[str, str] = {
    "auto-recovery-supported": "AutoRecoverySupported",
    "bare-metal": "BareMetal",
    "burstable-performance-supported": "BurstablePerformanceSupported",
    "current-generation": "CurrentGeneration",
    "dedicated-hosts-supported": "DedicatedHostsSupported",
    "free-tier-eligible": "FreeTierEligible",
    "hibernation-supported": "HibernationSupported",
    "instance-storage-info.total-size-in-gb": "InstanceStorageInfo.TotalSizeInGB",
    "instance-storage-supported": "InstanceStorageSupported",
    "instance-type": "InstanceType",
    "memory-info.size-in-mib": "MemoryInfo.SizeInMiB",
    "processor-info.supported-architecture": "ProcessorInfo.SupportedArchitectures",
    "supported-root-device-type": "SupportedRootDeviceTypes",
    "supported-usage-class": "SupportedUsageClasses",
    "supported-virtualization-type": "SupportedVirtualizationTypes",
    "vcpu-info.default-vcpus": "VCpuInfo.DefaultVCpus",
}
"""What each filter looks at, of what is told."""


def describe_instance_types(tx: Tx, call: Call) -> Members:
    flavors = tx.find(Flavor)
    names = call.given.get("InstanceTypes")
    if names:
        unknown = [name for name in names if name not in {flavor.name for flavor in flavors}]
        if unknown:
            raise Ec2Error(
                "InvalidInstanceType",
                f"The following supplied instance types do not exist: [{unknown[0][:100]}]",
            )
        flavors = [flavor for flavor in flavors if flavor.name in names]
    wanted = Filters(call.given.get("Filters", ()), _LOOKS, others=OTHERS["DescribeInstanceTypes"])
    found, token = page(
        call.given, filter(wanted, map(_view, flavors)), lambda view: str(view["InstanceType"])
    )
    return {"InstanceTypes": found, "NextToken": token}


def _view(flavor: Flavor) -> Members:
    return {
        "InstanceType": flavor.name,
        "CurrentGeneration": True,
        "FreeTierEligible": False,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["instance-store"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": True,
        "ProcessorInfo": {"SupportedArchitectures": _architectures(flavor)},
        "VCpuInfo": {"DefaultVCpus": flavor.cpus},
        "MemoryInfo": {"SizeInMiB": flavor.memory_mib},
        "InstanceStorageSupported": True,
        # The model counts in GB; a flavor that is smaller has some all the same.
        "InstanceStorageInfo": {"TotalSizeInGB": -(-(flavor.disk_mib + flavor.ephemeral_mib) // 1024)},
        "HibernationSupported": False,
        "BurstablePerformanceSupported": False,
        "DedicatedHostsSupported": True,
        "AutoRecoverySupported": False,
    }


def _architectures(flavor: Flavor) -> list[str]:
    """Those of images that it may be run with."""
    return [arch for arch in ARCHITECTURES if not asks_for_another(arch, flavor.extra_specs)]


def _texts(view: Members, member: str) -> list[str]:
    found: Any = view
    for name in member.split("."):
        found = found[name]
    values = found if isinstance(found, list) else [found]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


_LOOKS: Looks[Members] = {
    # None has one: they are machines.
    "hypervisor": lambda view: (),
    **{name: partial(_texts, member=member) for name, member in _MEMBERS.items()},
}

"""DescribeInstanceTypes: our flavors, by their names."""

from __future__ import annotations

from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.filters import Filters, Looks
from provisioner.api.ec2.paging import page
from provisioner.core.extra_specs import allowed
from provisioner.core.model import Flavor
from provisioner.protocols.store import Tx

_LOOKS: Looks[Flavor] = {
    "instance-type": lambda flavor: [flavor.name],
    "bare-metal": lambda flavor: ["true"],
    "current-generation": lambda flavor: ["true"],
    "vcpu-info.default-vcpus": lambda flavor: [str(flavor.cpus)],
    "memory-info.size-in-mib": lambda flavor: [str(flavor.memory_mib)],
    "processor-info.supported-architecture": lambda flavor: _architectures(flavor),
}


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
    wanted = Filters(call.given.get("Filters", ()), _LOOKS)
    found, token = page(call.given, filter(wanted, flavors), lambda flavor: flavor.name)
    return {"InstanceTypes": [_view(flavor) for flavor in found], "NextToken": token}


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
    """Any, as the image has it, when the flavor names none."""
    return list(allowed(flavor.extra_specs.get("cpu_arch", "!=")))

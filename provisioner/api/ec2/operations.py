"""The operations that are carried out here, each with what it takes of EC2's parameters.

Any other that EC2 has answers UnsupportedOperation, and so does any other parameter.
"""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.api.ec2 import instance_types, places
from provisioner.api.ec2.call import Operation, takes

PAGES = takes("Filters", "MaxResults", "NextToken")

OPERATIONS: Mapping[str, Operation] = {
    "DescribeAccountAttributes": Operation(
        handle=places.describe_account_attributes, takes=takes("AttributeNames")
    ),
    "DescribeAvailabilityZones": Operation(
        handle=places.describe_availability_zones,
        takes=takes("Filters", "ZoneNames", "ZoneIds"),
        ignores=takes("AllAvailabilityZones"),
    ),
    "DescribeInstanceTypes": Operation(
        handle=instance_types.describe_instance_types, takes=PAGES | takes("InstanceTypes")
    ),
    "DescribeRegions": Operation(
        handle=places.describe_regions, takes=takes("Filters", "RegionNames"), ignores=takes("AllRegions")
    ),
}

"""The operations that are carried out here, each with what it takes of EC2's parameters.

Any other that EC2 has answers UnsupportedOperation, and so does any other parameter.
"""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.api.ec2 import (
    change_instances,
    console,
    image_attributes,
    images,
    instance_types,
    instances,
    key_pairs,
    places,
    register_images,
    run_instances,
    tags,
    zones,
)
from provisioner.api.ec2.call import Operation, takes

PAGES = takes("Filters", "MaxResults", "NextToken")

OPERATIONS: Mapping[str, Operation] = {
    "CreateKeyPair": Operation(
        handle=key_pairs.create_key_pair,
        takes=takes("KeyName", "KeyType", "KeyFormat", "TagSpecifications"),
        prepare=key_pairs.make_key,
    ),
    "CreateTags": Operation(handle=tags.create_tags, takes=takes("Resources", "Tags")),
    "DeleteKeyPair": Operation(handle=key_pairs.delete_key_pair, takes=takes("KeyName", "KeyPairId")),
    "DeleteTags": Operation(handle=tags.delete_tags, takes=takes("Resources", "Tags")),
    "DeregisterImage": Operation(
        handle=register_images.deregister_image,
        takes=takes("ImageId"),
        # No image here is one of a volume.
        ignores=takes("DeleteAssociatedSnapshots"),
    ),
    "DescribeAccountAttributes": Operation(
        handle=places.describe_account_attributes, takes=takes("AttributeNames")
    ),
    "DescribeAvailabilityZones": Operation(
        handle=zones.describe_availability_zones,
        takes=takes("Filters", "ZoneNames", "ZoneIds"),
        ignores=takes("AllAvailabilityZones"),
    ),
    "DescribeImageAttribute": Operation(
        handle=image_attributes.describe_image_attribute, takes=takes("ImageId", "Attribute")
    ),
    "DescribeImages": Operation(
        handle=images.describe_images,
        takes=PAGES | takes("ExecutableUsers", "ImageIds", "Owners"),
        # None is deprecated or disabled.
        ignores=takes("IncludeDeprecated", "IncludeDisabled"),
    ),
    "DescribeInstanceStatus": Operation(
        handle=instances.describe_instance_status, takes=PAGES | takes("InstanceIds", "IncludeAllInstances")
    ),
    "DescribeInstanceTypes": Operation(
        handle=instance_types.describe_instance_types, takes=PAGES | takes("InstanceTypes")
    ),
    "DescribeInstances": Operation(handle=instances.describe_instances, takes=PAGES | takes("InstanceIds")),
    "DescribeKeyPairs": Operation(
        handle=key_pairs.describe_key_pairs,
        takes=takes("Filters", "KeyNames", "KeyPairIds", "IncludePublicKey"),
    ),
    "DescribeRegions": Operation(
        handle=places.describe_regions, takes=takes("Filters", "RegionNames"), ignores=takes("AllRegions")
    ),
    "DescribeTags": Operation(handle=tags.describe_tags, takes=PAGES),
    "GetConsoleOutput": Operation(
        handle=console.get_console_output, takes=takes("InstanceId"), ignores=takes("Latest")
    ),
    "ImportKeyPair": Operation(
        handle=key_pairs.import_key_pair,
        takes=takes("KeyName", "PublicKeyMaterial", "TagSpecifications"),
    ),
    "ModifyImageAttribute": Operation(
        handle=image_attributes.modify_image_attribute,
        takes=takes("ImageId", "Attribute", "LaunchPermission", "OperationType", "UserGroups", "UserIds"),
    ),
    "RebootInstances": Operation(handle=change_instances.reboot_instances, takes=takes("InstanceIds")),
    "RegisterImage": Operation(
        handle=register_images.register_image,
        takes=takes("Name", "ImageLocation", "Architecture", "KernelId", "RamdiskId", "TagSpecifications"),
        # How it is seen by an instance is the machine's own affair.
        ignores=takes("EnaSupport", "RootDeviceName", "SriovNetSupport", "VirtualizationType"),
    ),
    "RunInstances": Operation(
        handle=run_instances.run_instances,
        look=run_instances.look_for_nodes,
        once=True,
        takes=takes(
            *("ImageId", "KernelId", "RamdiskId", "InstanceType", "MinCount", "MaxCount"),
            *("KeyName", "UserData", "Placement", "TagSpecifications", "ClientToken", "BlockDeviceMappings"),
        ),
        # Nothing here is slower without them.
        ignores=takes("EbsOptimized", "Monitoring"),
        as_it_is={
            "DisableApiStop": False,
            "DisableApiTermination": False,
            "InstanceInitiatedShutdownBehavior": "stop",
        },
    ),
    "StartInstances": Operation(handle=change_instances.start_instances, takes=takes("InstanceIds")),
    "StopInstances": Operation(
        handle=change_instances.stop_instances, takes=takes("InstanceIds", "Force", "Hibernate")
    ),
    "TerminateInstances": Operation(
        handle=change_instances.terminate_instances,
        takes=takes("InstanceIds"),
        # Both are of disks and scripts that aren't here.
        ignores=takes("Force", "SkipOsShutdown"),
    ),
}

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.api.ec2.block_devices import check
from provisioner.api.ec2.errors import Ec2Error
from provisioner.core.model import Flavor

FLAVOR = Flavor(id="f", name="small", cpus=1, memory_mib=512, disk_mib=20 * 1024)


@pytest.mark.parametrize(
    "ebs", [{}, {"VolumeSize": 20}, {"VolumeSize": 8, "DeleteOnTermination": True, "Encrypted": False}]
)
def test_a_root_disk_of_what_the_flavor_has_may_be_asked_for(ebs: dict[str, Any]) -> None:
    check([{"DeviceName": "/dev/sda1", "Ebs": ebs}], FLAVOR)


@pytest.mark.parametrize(
    ("device", "code", "told"),
    [
        ({"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 21}}, "InvalidParameterValue", "20480 MiB"),
        ({"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": -1}}, "InvalidParameterValue", "VolumeSize"),
        (
            {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-1"}},
            "UnsupportedOperation",
            "Ebs.SnapshotId",
        ),
        ({"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}, "UnsupportedOperation", "Encrypted=true"),
        (
            {"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": False}},
            "UnsupportedOperation",
            "DeleteOnTermination=false",
        ),
        ({"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 1}}, "UnsupportedOperation", "other than the root"),
        ({"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}, "InvalidParameterValue", "small has none"),
        (
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0", "Ebs": {}},
            "UnsupportedOperation",
            "Ebs beside VirtualName",
        ),
        ({"Ebs": {}}, "UnsupportedOperation", "other than the root"),
    ],
)
def test_anything_else_is_refused_by_its_name(device: dict[str, Any], code: str, told: str) -> None:
    with pytest.raises(Ec2Error) as refused:
        check([device], FLAVOR)
    assert refused.value.code == code
    assert told in refused.value.message


def test_the_ephemeral_storage_of_the_flavor_may_be_named_and_no_other() -> None:
    flavor = replace(FLAVOR, ephemeral_mib=1)
    check([{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}], flavor)
    with pytest.raises(Ec2Error, match="ephemeral0 alone"):
        check([{"DeviceName": "/dev/sdc", "VirtualName": "ephemeral1"}], flavor)

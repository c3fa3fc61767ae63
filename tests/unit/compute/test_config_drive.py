from __future__ import annotations

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from provisioner.compute.config_drive import files
from tests.unit.records import flavor, instance

URL = "http://10.77.0.10:8080/phone-home/token"


def test_the_drive_has_the_files_that_nocloud_reads() -> None:
    drive = files(instance(name="web", public_key="ssh-ed25519 AAAA me"), phone_home_url=URL)
    assert set(drive) == {"meta-data", "user-data", "vendor-data"}
    assert json.loads(drive["meta-data"]) == {
        "instance-id": "instance-1",
        "local-hostname": "web",
        "public-keys": ["ssh-ed25519 AAAA me"],
    }


def test_user_data_stays_the_users_own() -> None:
    drive = files(instance(user_data="#!/bin/sh\necho hello\n"), phone_home_url=URL)
    assert drive["user-data"] == "#!/bin/sh\necho hello\n"
    assert yaml.safe_load(drive["vendor-data"])["phone_home"]["url"] == URL


def test_ephemeral_storage_is_mounted_where_ec2s_instances_have_it() -> None:
    drive = files(instance(), phone_home_url=URL)
    assert "mounts" not in yaml.safe_load(drive["vendor-data"])
    drive = files(instance(flavor=flavor(ephemeral_mib=1)), phone_home_url=URL)
    (mount,) = yaml.safe_load(drive["vendor-data"])["mounts"]
    assert mount[:3] == ["LABEL=ephemeral0", "/mnt", "ext4"] and "nofail" in mount[3]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_text_breaks_out_of_its_field(key: str) -> None:
    drive = files(instance(public_key=key), phone_home_url=URL)
    assert json.loads(drive["meta-data"])["public-keys"] == [key]

from __future__ import annotations

from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from provisioner.api import image_orders
from provisioner.app.image_sweep import sweep_images
from provisioner.core.ec2_ids import account_of
from provisioner.core.errors import TransientError
from provisioner.core.model import Image, ImageKind, ImageShare, Instance
from provisioner.core.states import InstanceState
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.records import image, instance

# Nobody listens there: an image of it fails as soon as it is fetched.
URL = "http://127.0.0.1:1"
DIGEST = "ab" * 32


@pytest.fixture
def operator(api: Api) -> Ec2:
    """What is shared with all tenants is an operator's to change."""
    return Ec2(api, role="operator")


def stored(api: Api, name: str) -> Image:
    (found,) = api.transact(lambda tx: tx.find(Image, where={"name": name}))
    return found


def by_type(ec2: Ec2) -> dict[str, str]:
    return {one["ImageType"]: one["ImageId"] for one in ec2.read("DescribeImages")["Images"]}


def test_what_has_no_kernel_is_a_whole_disk(api: Api, ec2: Ec2) -> None:
    made = ec2.read("RegisterImage", Name="disk", ImageLocation=f"{URL}/a/disk.qcow2#sha256={DIGEST}")
    found = stored(api, "disk")
    assert (found.kind, found.format, found.arch) == (ImageKind.DISK, "qcow2", "x86_64")
    assert (found.sha256, found.source_url) == (DIGEST, f"{URL}/a/disk.qcow2")
    assert made["ImageId"].startswith("ami-")


def test_what_has_a_kernel_and_a_ramdisk_is_a_root(api: Api, ec2: Ec2) -> None:
    api.register_images()
    parts = by_type(ec2)
    order = {"Name": "r", "ImageLocation": f"{URL}/r.raw", "Architecture": "x86_64"}
    words = {"TagSpecification.1.ResourceType": "image", "TagSpecification.1.Tag.1.Key": "a"}
    made = ec2.read("RegisterImage", KernelId=parts["kernel"], RamdiskId=parts["ramdisk"], **order, **words)
    found = stored(api, "r")
    assert (found.kind, found.format, found.arch) == (ImageKind.ROOT, "raw", "x86_64")
    shown = ec2.read("DescribeImages", **{"ImageId.1": made["ImageId"]})["Images"][0]
    assert (shown["KernelId"], shown["RamdiskId"]) == (parts["kernel"], parts["ramdisk"])
    assert shown["Tags"] == [{"Key": "a", "Value": ""}]
    order["Name"] = "s"
    told = {"KernelId": parts["kernel"], "RamdiskId": parts["ramdisk"], **order, "Architecture": "arm64"}
    assert ec2.refused("RegisterImage", **told) == "InvalidParameterValue"
    assert ec2.refused("RegisterImage", KernelId=parts["kernel"], **order) == "InvalidParameterValue"
    assert ec2.refused("RegisterImage", KernelId=parts["ramdisk"], **order) == "InvalidAMIID.Malformed"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Name": "a b "}, "InvalidAMIName.Malformed"),
        ({"Name": " ab"}, "InvalidAMIName.Malformed"),
        ({"Name": "ab?"}, "InvalidAMIName.Malformed"),
        ({"Name": "(a"}, "InvalidAMIName.Malformed"),
        ({"Name": "abc\n"}, "InvalidAMIName.Malformed"),
        ({"Name": "abü"}, "InvalidAMIName.Malformed"),
        ({"Name": "a" * 129}, "InvalidAMIName.Malformed"),
        ({"Name": ""}, "InvalidAMIName.Malformed"),
        ({"Name": "a\r\nb"}, "InvalidAMIName.Malformed"),
        ({"ImageLocation": ""}, "MissingParameter"),
        ({"ImageLocation": "bucket/manifest.xml"}, "InvalidParameterValue"),
        ({"ImageLocation": "file:///etc/shadow"}, "InvalidParameterValue"),
        ({"ImageLocation": "http://["}, "InvalidParameterValue"),
        ({"ImageLocation": "http://[x]/"}, "InvalidParameterValue"),
        ({"ImageLocation": "http://h:99999/"}, "InvalidParameterValue"),
        ({"ImageLocation": f"{URL}#sha256=abc"}, "InvalidParameterValue"),
        ({"Architecture": "vax"}, "InvalidParameterValue"),
        ({"BootMode": "uefi"}, "UnsupportedOperation"),
        ({"BlockDeviceMapping.1.DeviceName": "/dev/sda"}, "UnsupportedOperation"),
    ],
)
def test_what_can_not_be_registered_is_refused(api: Api, ec2: Ec2, given: dict[str, str], code: str) -> None:
    assert ec2.refused("RegisterImage", **{"Name": "a", "ImageLocation": URL, **given}) == code
    assert api.transact(lambda tx: tx.count(Image)) == 0


@pytest.mark.parametrize(
    "name", ["ubuntu/images/hvm (1) [a] it's@home_2", "../../etc/passwd", "[/]", "/" * 128]
)
def test_names_are_ec2s(api: Api, ec2: Ec2, name: str) -> None:
    """A name is no path of anything: REST lists it, and has such an image by its id."""
    made = ec2.read("RegisterImage", Name=name, ImageLocation=URL)
    found = ec2.read("DescribeImages", **{"Filter.1.Name": "name", "Filter.1.Value.1": name})["Images"]
    assert [one["ImageId"] for one in found] == [made["ImageId"]]
    (listed,) = api.get("/v1/images")["items"]
    assert api.get(f"/v1/images/{listed['id']}")["name"] == name
    assert not api.call("DELETE", f"/v1/images/{quote(name, safe='')}").is_success
    assert api.call("DELETE", f"/v1/images/{listed['id']}").status_code == 204


def test_names_are_given_once(ec2: Ec2) -> None:
    assert ec2.read("RegisterImage", Name="a", ImageLocation=URL)
    assert ec2.refused("RegisterImage", Name="a", ImageLocation=URL) == "InvalidAMIName.Duplicate"


def test_a_dry_run_registers_and_deregisters_nothing(api: Api, ec2: Ec2, operator: Ec2) -> None:
    assert ec2.refused("RegisterImage", Name="a", ImageLocation=URL, DryRun="true") == "DryRunOperation"
    assert api.transact(lambda tx: tx.count(Image)) == 0
    api.register_images()
    image = by_type(ec2)["machine"]
    assert operator.refused("DeregisterImage", ImageId=image, DryRun="true") == "DryRunOperation"
    assert api.images.path(stored(api, "root").sha256).exists()


def test_the_bytes_of_an_image_go_with_the_last_one_that_has_them(api: Api, ec2: Ec2, operator: Ec2) -> None:
    api.register_images()
    api.post("/v1/images", {"name": "same", "kind": "disk"}, 201)
    api.call("PUT", "/v1/images/same/content", content=b"root" * 512).raise_for_status()
    blob = api.images.path(stored(api, "root").sha256)
    ids = {one["Name"]: one["ImageId"] for one in ec2.read("DescribeImages")["Images"]}
    assert operator.read("DeregisterImage", ImageId=ids["root"])["Return"]
    assert blob.exists()
    assert operator.read("DeregisterImage", ImageId=ids["same"])["Return"]
    assert not blob.exists()
    assert operator.refused("DeregisterImage", ImageId=ids["same"]) == "InvalidAMIID.NotFound"


def test_an_image_is_deregistered_though_its_bytes_can_not_be_removed_now(
    api: Api, ec2: Ec2, operator: Ec2, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.register_images()
    image = by_type(ec2)["machine"]
    blob = api.images.path(stored(api, "root").sha256)

    def busy() -> None:
        raise TransientError("lock the images", answer="another one had it for 30.0 s")

    with monkeypatch.context() as meanwhile, capture_logs() as logs:
        meanwhile.setattr(api.images, "alone", busy)
        assert operator.read("DeregisterImage", ImageId=image)["Return"]
    assert [(one["event"], one["sha256"]) for one in logs if one["log_level"] == "warning"] == [
        ("image.bytes_left", blob.name)
    ]
    assert blob.exists()
    api.run(sweep_images(api.store, api.images))
    assert not blob.exists()


def test_an_image_that_an_instance_or_another_image_needs_is_kept(api: Api, ec2: Ec2, operator: Ec2) -> None:
    api.register_images()
    parts = by_type(ec2)
    assert operator.refused("DeregisterImage", ImageId=parts["kernel"]) == "IncorrectState"
    one = instance(image_id=stored(api, "root").id, state=InstanceState.ACTIVE)
    api.transact(lambda tx: tx.insert(one))
    assert operator.refused("DeregisterImage", ImageId=parts["machine"]) == "IncorrectState"
    api.transact(lambda tx: tx.update(Instance, one.id, {"state": InstanceState.DELETED}))
    assert operator.read("DeregisterImage", ImageId=parts["machine"])["Return"]


def test_a_member_deregisters_what_is_its_tenants_and_nothing_shared(api: Api, ec2: Ec2) -> None:
    api.register_images()
    assert ec2.refused("DeregisterImage", ImageId=by_type(ec2)["machine"]) == "UnauthorizedOperation"
    own = ec2.read("RegisterImage", Name="own", ImageLocation=URL)["ImageId"]
    assert Ec2(api, "blue").refused("DeregisterImage", ImageId=own) == "InvalidAMIID.NotFound"
    assert ec2.read("DeregisterImage", ImageId=own)["Return"]


def test_images_are_listed_however_many_others_share(
    api: Api, ec2: Ec2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.store.conditions.MAX_ALTERNATIVES", 1000)
    ids = [f"01234567-89ab-4def-8123-{number:012x}" for number in range(1001)]
    account = account_of("blue")
    api.transact(
        lambda tx: tx.insert(
            *(image(id=id, name=f"i{id[-4:]}", tenant="red", public=False) for id in ids),
            *(ImageShare(id=f"{id}:{account}", image_id=id, account=account, said="blue") for id in ids),
        )
    )
    blue = api.user_of("blue", "member")
    answer = blue.call("GET", "/v1/images?limit=1000")
    assert [one["id"] for one in answer.json()["items"]] == ids[:1000]
    rest = blue.call("GET", f"/v1/images?limit=1000&after={ids[999]}")
    assert [one["id"] for one in rest.json()["items"]] == ids[1000:]
    assert len(Ec2(api, "blue").read("DescribeImages")["Images"]) == 1001


def test_a_tenant_has_so_many_images(api: Api, ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_orders, "MAX_PER_TENANT", 1)
    assert ec2.read("RegisterImage", Name="a", ImageLocation=URL)
    assert ec2.refused("RegisterImage", Name="b", ImageLocation=URL) == "ImageLimitExceeded"
    told = api.post("/v1/images", {"name": "b", "kind": "disk"}, 409)
    assert "its tenant has 1" in told["title"]

"""Instances that no node could hold, that are one too many, or that may wait."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.api.limits import LimitPolicy, Limits
from provisioner.core.model import Instance
from provisioner.core.states import InstanceState
from tests.unit.api.conftest import Api, node_entry
from tests.unit.api.instance_calls import order
from tests.unit.records import node

pytestmark = pytest.mark.usefixtures("images_registered")


def enrol_with_a_small_disk(api: Api) -> None:
    """Of exactly what the images of the tests need: 1 MiB, config drive, partition tables."""
    api.post("/v1/nodes", node_entry("fits", 1, disk_mib=11), 201)
    api.post("/v1/nodes", node_entry("small", 2, disk_mib=10), 201)


def test_an_image_that_the_named_nodes_disk_cant_hold_is_refused_at_once(api: Api) -> None:
    enrol_with_a_small_disk(api)
    api.post("/v1/instances", order("a", node="fits"), 202)
    refused = api.post("/v1/instances", order("b", node="small"), 422)
    assert (refused["code"], refused["field"]) == ("image-too-large", "node")
    assert "11 MiB are needed" in refused["title"]
    assert "its disk has 10 MiB" in refused["title"]
    assert [one["name"] for one in api.get("/v1/instances")["items"]] == ["a"]


@pytest.mark.parametrize(
    ("where", "field", "told"),
    [
        ({"node": "board"}, "node", "image root is for x86_64, not arm64"),
        ({"flavor": "on-arm"}, "image", "it is for x86_64, and flavor on-arm asks for cpu_arch arm64"),
    ],
)
def test_an_image_of_another_architecture_is_refused_at_once(
    api: Api, where: dict[str, str], field: str, told: str
) -> None:
    api.post("/v1/nodes", node_entry("board", arch="arm64", firmware="uboot", boot="uboot"), 201)
    api.post("/v1/flavors", {"name": "on-arm", "extra_specs": {"cpu_arch": "arm64"}}, 201)
    refused = api.post("/v1/instances", order(**where), 422)
    assert (refused["field"], refused["answer"]) == (field, told)
    assert refused["advice"]
    assert api.get("/v1/instances")["items"] == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"image": "disk"}, "its root is served by NFS, and image disk is a whole disk"),
        ({"flavor": {"swap_mib": 1}}, "its root is served by NFS, and flavor asked asks for swap on a disk"),
        ({"flavor": {"cpus": 3}}, "it has 2 CPUs, 3 are needed"),
        ({"flavor": {"extra_specs": {"capabilities:gpu": "a100"}}}, "its gpu is none, a100 is asked for"),
        ({"flavor": {"extra_specs": {"boot": "uboot"}}}, "its boot is ipxe, uboot is asked for"),
        ({"zone": "east"}, "it is in zone default"),
    ],
)
def test_what_the_named_node_can_never_carry_is_refused_at_once(
    api: Api, asked: dict[str, Any], told: str
) -> None:
    api.context.deploy_drivers = frozenset({"iscsi", "nfs"})
    entry = node_entry("diskless", 1, deploy="nfs", disk_mib=0, capabilities={"gpu": "none"})
    api.post("/v1/nodes", entry, 201)
    api.post("/v1/nodes", node_entry("eastern", 2, zone="east"), 201)
    api.post("/v1/images", {"name": "disk", "kind": "disk"}, 201)
    api.call("PUT", "/v1/images/disk/content", content=b"disk" * 512).raise_for_status()
    if "flavor" in asked:
        api.post("/v1/flavors", {"name": "asked", **asked["flavor"]}, 201)
        asked = {"flavor": "asked"}
    refused = api.post("/v1/instances", order(node="diskless", **asked), 422)
    assert (refused["field"], refused["answer"]) == ("node", told)
    assert api.get("/v1/instances")["items"] == []


def test_a_command_line_that_the_named_nodes_boot_loader_would_change_is_refused_at_once(api: Api) -> None:
    api.post("/v1/nodes", node_entry("server", arch="arm64", firmware="uefi", boot="grub"), 201)
    root = {"kernel_id": "kernel64", "ramdisk_id": "ramdisk64", "command_line": 'dyndbg="file x.c +p"'}
    for kind in ("kernel", "ramdisk", "root"):
        made = {"name": f"{kind}64", "kind": kind, "arch": "arm64"}
        api.post("/v1/images", made | (root if kind == "root" else {}), 201)
        api.call("PUT", f"/v1/images/{kind}64/content", content=kind.encode() * 512).raise_for_status()
    refused = api.post("/v1/instances", order(image="root64", node="server"), 422)
    assert "it boots by grub, through which '\"' of the command line" in refused["answer"]


def test_what_may_yet_be_found_of_the_named_node_is_waited_for(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    api.post("/v1/flavors", {"name": "asked", "extra_specs": {"trait:tpm": "required", "ssd": "true"}}, 201)
    api.post("/v1/instances", order(flavor="asked", node="n1"), 202)


def test_what_the_flavor_asks_for_beside_the_image_counts_too(api: Api) -> None:
    enrol_with_a_small_disk(api)
    api.post("/v1/flavors", {"name": "swapping", "swap_mib": 1}, 201)
    refused = api.post("/v1/instances", order(flavor="swapping", node="fits"), 422)
    assert refused["code"] == "image-too-large"
    assert "1 MiB of swap" in refused["title"]


def test_an_image_without_a_node_that_can_hold_it_waits_for_one(api: Api) -> None:
    api.post("/v1/nodes", node_entry(disk_mib=10), 201)
    assert api.post("/v1/instances", order(), 202)["state"] == "requested"


def test_a_tenant_gets_as_many_instances_as_its_quota_allows(api: Api) -> None:
    api.context.quotas = {"default": 1}
    order = {"flavor": "small", "image": "root"}
    api.post("/v1/instances", {"name": "one", **order}, 202)
    told = api.post("/v1/instances", {"name": "two", **order}, 409)
    assert "tenant default has the 1 instances of its quota" in told["title"]
    assert "failed" not in told["title"] + told["advice"]
    api.call("DELETE", "/v1/instances/one").raise_for_status()
    api.post("/v1/instances", {"name": "two", **order}, 202)


def test_who_has_reached_their_quota_hears_of_failed_ones_that_count(api: Api) -> None:
    api.context.quotas = {"default": 3}
    ids = [api.post("/v1/instances", order(name), 202)["id"] for name in ("one", "two", "three")]
    for id in ids[:2]:
        api.transact(lambda tx, id=id: tx.update(Instance, id, {"state": InstanceState.ERROR}))
    told = api.post("/v1/instances", order("four"), 409)
    assert "the 3 instances of its quota, failed ones among them: 2" in told["title"]
    assert told["advice"].startswith("Delete failed ones, which count until then, or ")
    for name in ("one", "two"):
        api.call("DELETE", f"/v1/instances/{name}").raise_for_status()
    api.post("/v1/instances", order("four"), 202)


def test_no_more_instances_wait_than_may_or_than_there_are_nodes(api: Api) -> None:
    api.context.limits = Limits(LimitPolicy(waiting_instances=2))
    for name in ("one", "two"):
        api.post("/v1/instances", order(name), 202)
    told = api.post("/v1/instances", order("three"), 409)
    assert "as many instances of tenant default wait for a node as may" in told["title"]
    assert "api.limits.waiting_instances" in told["advice"]
    assert api.user_of("blue", "member").call("POST", "/v1/instances", order("one")).status_code != 409
    for number in range(1, 4):
        api.transact(lambda tx, number=number: tx.insert(node(id=f"node-{number}", name=f"n{number}")))
    api.post("/v1/instances", order("three"), 202)
    api.post("/v1/instances", order("four"), 409)
    two = api.get("/v1/instances/two")["id"]
    api.transact(lambda tx: tx.update(Instance, two, {"state": InstanceState.BUILDING, "node_id": "node-1"}))
    api.post("/v1/instances", order("four"), 202)

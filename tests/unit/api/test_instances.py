"""Instances that are requested, listed, waited for and deleted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.core.model import Image, ImageState, Instance, TimelineEvent
from provisioner.core.states import InstanceState
from tests.unit.api.conftest import Api
from tests.unit.api.instance_calls import order, place

pytestmark = pytest.mark.usefixtures("images_registered")

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"


def test_an_instance_is_requested_with_the_images_kernel_and_ramdisk(api: Api) -> None:
    watch = api.store.watch("instances")
    made = api.post("/v1/instances", order(), 202)
    assert api.run(watch.wait(0))
    assert (made["state"], made["node_id"], made["wipe"]) == ("requested", None, "quick")
    assert made["kernel_id"] == api.get("/v1/images/kernel")["id"]
    assert made["ramdisk_id"] == api.get("/v1/images/ramdisk")["id"]
    assert api.get("/v1/instances/web")["id"] == made["id"]


def register(api: Api, name: str, kind: str, **changes: Any) -> str:
    made: str = api.post("/v1/images", {"name": name, "kind": kind} | changes, 201)["id"]
    api.call("PUT", f"/v1/images/{name}/content", content=name.encode() * 512).raise_for_status()
    return made


def test_another_kernel_and_ramdisk_than_the_images_may_be_named(api: Api) -> None:
    kernel, ramdisk = register(api, "newer", "kernel"), register(api, "leaner", "ramdisk")
    made = api.post("/v1/instances", order(kernel="newer", ramdisk=ramdisk), 202)
    assert (made["kernel_id"], made["ramdisk_id"]) == (kernel, ramdisk)
    made = api.post("/v1/instances", order("half", kernel="newer"), 202)
    assert (made["kernel_id"], made["ramdisk_id"]) == (kernel, api.get("/v1/images/ramdisk")["id"])


def test_a_kernel_that_is_named_takes_the_place_of_one_that_is_not_there_yet(api: Api) -> None:
    image = api.transact(lambda tx: tx.find(Image, where={"name": "kernel"}))[0]
    api.transact(lambda tx: tx.update(Image, image.id, {"state": ImageState.ERROR}))
    register(api, "newer", "kernel")
    api.post("/v1/instances", order(), 409)
    api.post("/v1/instances", order(kernel="newer"), 202)


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"kernel": "ramdisk"}, 422, "it is of kind ramdisk"),
        ({"ramdisk": "kernel"}, 422, "it is of kind kernel"),
        ({"kernel": "nothing"}, 404, "no such image"),
        ({"kernel": "foreign"}, 422, "it is for arm64, and the image for x86_64"),
        ({"kernel": "unsent"}, 409, "image unsent is queued"),
        ({"image": "disk", "kernel": "kernel"}, 422, "boots by itself"),
        ({"image": "board", "ramdisk": "boards"}, 422, "without a ramdisk"),
    ],
    ids=["ramdisk", "kernel", "unknown", "other architecture", "no bytes", "whole disk", "board"],
)
def test_what_an_image_cannot_be_booted_with_is_refused(
    api: Api, changes: dict[str, Any], status: int, told: str
) -> None:
    register(api, "foreign", "kernel", arch="arm64")
    register(api, "disk", "disk")
    register(api, "tiles", "kernel", arch="tilepro64")
    register(api, "boards", "ramdisk", arch="tilepro64")
    register(api, "board", "root", arch="tilepro64", kernel_id="tiles")
    api.post("/v1/images", {"name": "unsent", "kind": "kernel"}, 201)
    answer = api.post("/v1/instances", order(**changes), status)
    assert told in f"{answer['title']} {answer.get('detail', '')}"


def test_a_key_is_taken_by_name_or_as_it_is(api: Api) -> None:
    api.post("/v1/keys", {"name": "me", "public_key": KEY + "\n"}, 201)
    assert api.post("/v1/instances", order("a", key="me"), 202)["public_key"] == KEY
    assert api.post("/v1/instances", order("b", public_key=KEY), 202)["public_key"] == KEY
    api.post("/v1/instances", order("c", key="you"), 404)
    api.post("/v1/instances", order("c", public_key="ssh-ed25519 nonsense"), 422)


def test_a_name_is_one_living_instances_only(api: Api) -> None:
    first = api.post("/v1/instances", order(), 202)
    assert "web" in api.post("/v1/instances", order(), 409)["title"]
    api.call("DELETE", "/v1/instances/web")
    second = api.post("/v1/instances", order(), 202)
    assert second["id"] != first["id"]
    assert api.get("/v1/instances/web")["id"] == second["id"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"image": "kernel"}, 422),
        ({"image": "nothing"}, 404),
        ({"flavor": "nothing"}, 404),
        ({"node": "nothing"}, 404),
        ({"name": "Not A Hostname"}, 422),
        ({"name": "-a"}, 422),
        ({"name": "a" * 64}, 422),
        ({"wipe": "never"}, 422),
        ({"proof_of_life": ["hope"]}, 422),
        ({"proof_of_life": ["console:("]}, 422),
        ({"user_data": "x" * 16385}, 422),
        ({"user_data": "é" * 8193}, 422),
        ({"colour": "red"}, 422),
    ],
)
def test_what_cannot_be_deployed_is_refused_at_once(api: Api, changes: dict[str, Any], status: int) -> None:
    api.post("/v1/instances", order(**changes), status)
    assert api.get("/v1/instances")["items"] == []


def test_user_data_has_as_many_bytes_as_ec2_takes(api: Api) -> None:
    api.post("/v1/instances", order(user_data="é" * 8192), 202)
    told = api.post("/v1/instances", order("two", user_data="é" * 8193), 422)
    assert told["field"] == "user_data"
    assert "it has 16386 bytes" in told["title"]


@pytest.mark.parametrize("part", ["root", "kernel", "ramdisk"])
def test_an_image_is_deployed_only_when_all_its_parts_are_here(api: Api, part: str) -> None:
    found = api.get(f"/v1/images/{part}")
    api.transact(lambda tx: tx.update(Image, found["id"], {"state": ImageState.ERROR}))
    assert part in api.post("/v1/instances", order(), 409)["title"]


def test_a_request_without_a_machine_is_gone_at_once_and_may_be_deleted_again(api: Api) -> None:
    api.post("/v1/instances", order(), 202)
    for _ in range(2):
        answer = api.call("DELETE", "/v1/instances/web")
        assert (answer.status_code, answer.json()["state"]) == (202, "deleted")
    assert api.get("/v1/instances")["items"] == []
    assert len(api.get("/v1/instances?deleted=true")["items"]) == 1


def test_what_was_for_its_machine_alone_goes_with_an_instance(api: Api) -> None:
    """Who makes instances and deletes them, again and again, leaves little behind."""
    api.post("/v1/instances", order(user_data="#!/bin/sh\n", public_key=KEY), 202)
    (made,) = api.transact(lambda tx: tx.find(Instance))
    assert (made.user_data, made.public_key) == ("#!/bin/sh\n", KEY)
    api.call("DELETE", "/v1/instances/web").raise_for_status()
    (gone,) = api.transact(lambda tx: tx.find(Instance))
    assert (gone.user_data, gone.public_key) == ("", "")


def test_deleting_a_machine_wakes_its_owner(api: Api) -> None:
    node_id = place(api)
    watch = api.store.watch(f"node:{node_id}")
    answer = api.call("DELETE", "/v1/instances/web").json()
    assert (answer["state"], answer["delete_requested"]) == ("deleting", True)
    assert api.run(watch.wait(0))


def test_lists_name_the_node_and_the_instance_that_have_each_other(api: Api) -> None:
    place(api)
    assert [one["node"] for one in api.get("/v1/instances")["items"]] == ["n1"]
    assert [one["instance"] for one in api.get("/v1/nodes")["items"]] == ["web"]
    assert api.get("/v1/nodes/n1")["instance"] == "web"
    assert api.get("/v1/instances/web")["node"] == "n1"


def test_waiting_ends_as_soon_as_the_state_is_there(api: Api) -> None:
    made = api.post("/v1/instances", order(), 202)

    async def story() -> Any:
        waiting = asyncio.create_task(api.request("GET", "/v1/instances/web?wait_s=30&until=active"))
        await asyncio.sleep(0)

        def activate(tx: Any) -> None:
            tx.update(Instance, made["id"], {"state": InstanceState.ACTIVE})
            tx.notify(f"instance:{made['id']}")

        await api.store.transact(activate)
        async with asyncio.timeout(5):
            return (await waiting).json()

    assert api.run(story())["state"] == "active"


def test_waiting_ends_when_its_time_is_up(api: Api) -> None:
    api.post("/v1/instances", order(), 202)
    assert api.get("/v1/instances/web?wait_s=0.05")["state"] == "requested"
    assert "until" in api.get("/v1/instances/web?wait_s=1&until=happy", 422)["field"]
    api.get("/v1/instances/web?wait_s=61", 422)


def test_the_timeline_is_the_instances_own_and_goes_on_where_one_stopped(api: Api) -> None:
    node_id = place(api)
    mine = api.get("/v1/instances/web")["id"]

    def write(tx: Any) -> None:
        for number, instance in enumerate((mine, "another", mine)):
            tx.insert(
                TimelineEvent(
                    node_id=node_id, instance_id=instance, at=tx.now(), source="controller", name=f"e{number}"
                )
            )

    api.transact(write)
    found = api.get("/v1/instances/web/timeline")["items"]
    assert [event["name"] for event in found] == ["e0", "e2"]
    rest = api.get("/v1/instances/web/timeline", after=found[0]["id"])["items"]
    assert [event["name"] for event in rest] == ["e2"]
    assert [event["name"] for event in api.get("/v1/nodes/n1/events")["items"]] == ["e0", "e1", "e2"]
    assert [event["name"] for event in api.get("/v1/events?limit=2")["items"]] == ["e0", "e1"]


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?<=a)b", "(a", "((a{1000}){1000}){1000}", "a" * 257], ids=lambda one: one[:12]
)
def test_a_pattern_that_cant_be_looked_for_in_bounded_time_is_refused(api: Api, pattern: str) -> None:
    refused = api.post("/v1/instances", order(proof_of_life=[f"console:{pattern}"]), 422)
    assert refused["errors"][0]["field"] == "proof_of_life.0"
    api.post("/v1/instances", order(proof_of_life=["console:(a+)+$"]), 202)

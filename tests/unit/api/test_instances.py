from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from provisioner.api.consoles import ASK_AGAIN_S
from provisioner.api.limits import LimitPolicy, Limits
from provisioner.core.errors import TransientError
from provisioner.core.model import Image, ImageState, Instance, Node, TimelineEvent
from provisioner.core.states import InstanceState
from tests.unit.api.conftest import Api, node_entry
from tests.unit.api.counting_store import CountingStore
from tests.unit.records import node

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"


@pytest.fixture(autouse=True)
def _images(api: Api) -> None:
    api.register_images()


def order(name: str = "web", **changes: Any) -> dict[str, Any]:
    return {"name": name, "flavor": "small", "image": "root"} | changes


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


def place(api: Api, state: InstanceState = InstanceState.ACTIVE) -> str:
    made = api.post("/v1/instances", order(), 202)
    node = api.post("/v1/nodes", node_entry(), 201)

    def change(tx: Any) -> None:
        tx.update(Instance, made["id"], {"state": state, "node_id": node["id"], "address": "10.77.0.100"})
        tx.update(Node, node["id"], {"instance_id": made["id"]})

    api.transact(change)
    return str(node["id"])


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


def test_the_console_is_the_instances_while_it_has_the_machine(api: Api) -> None:
    node_id = place(api)
    api.run(api.say(node_id, "Debian GNU/Linux\nlogin: "))
    assert api.call("GET", "/v1/instances/web/console").text.endswith("login: ")
    assert api.call("GET", "/v1/nodes/n1/console?tail_bytes=7").text == "login: "
    found = api.get("/v1/instances/web")
    api.transact(lambda tx: tx.update(Instance, found["id"], {"state": InstanceState.DELETED}))
    assert api.call("GET", f"/v1/instances/{found['id']}/console").text == ""


class ScriptedClock:
    """`protocols.clock.Clock` in which each sleep lasts until the next act has happened."""

    now_s = 0.0

    def __init__(self, *acts: Callable[[], Awaitable[object]]) -> None:
        self._acts = list(acts)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        await self._acts.pop(0)()


@pytest.mark.parametrize("announced", [True, False])
def test_a_console_that_is_followed_tells_what_is_new_and_ends_with_its_instance(
    api: Api, announced: bool
) -> None:
    node_id = place(api)
    instance_id = api.get("/v1/instances/web")["id"]
    api.run(api.say(node_id, "long ago, before"))

    async def say() -> None:
        await api.say(node_id, ", after")

    async def delete() -> None:
        deleted = {"state": InstanceState.DELETED}
        topics = [f"instance:{instance_id}"] * announced
        await api.store.transact(lambda tx: (tx.update(Instance, instance_id, deleted), tx.notify(*topics)))
        if not announced:
            clock.now_s += ASK_AGAIN_S

    clock = api.context.clock = ScriptedClock(say, say, delete)
    answer = api.call("GET", "/v1/instances/web/console?follow=true&tail_bytes=6")
    assert answer.text == "before, after, after"


def test_who_follows_a_console_asks_the_store_for_nothing_while_nothing_happens(api: Api) -> None:
    place(api)
    counted = api.context.store = CountingStore(api.store)
    asked: list[int] = []

    async def look() -> None:
        asked.append(len(counted.rows))

    async def delete() -> None:
        deleted = {"state": InstanceState.DELETED}
        (found,) = await api.store.transact(lambda tx: tx.find(Instance))
        await api.store.transact(
            lambda tx: (tx.update(Instance, found.id, deleted), tx.notify(f"instance:{found.id}"))
        )

    api.context.clock = ScriptedClock(*[look] * 20, delete)
    assert api.call("GET", "/v1/instances/web/console?follow=true").is_success
    assert len(asked) == 20 and len(set(asked)) == 1


@pytest.mark.parametrize("path", ["instances/web", "nodes/n1"])
@pytest.mark.parametrize("change", ["DELETE /v1/tokens/ci", "PUT /v1/users/ann"])
def test_a_console_that_is_followed_ends_with_the_right_to_it(api: Api, path: str, change: str) -> None:
    node_id = place(api)
    api.run(api.say(node_id, "before"))
    api.post("/v1/users", {"name": "ann", "role": "operator"}, 201)
    token = api.post("/v1/tokens", {"name": "ci", "user": "ann"}, 201)["token"]

    async def revoke() -> None:
        method, where = change.split()
        body = {"role": "reader"} if method == "PUT" else None
        assert (await api.request(method, where, json=body)).is_success
        await api.say(node_id, ", after")

    api.context.clock = ScriptedClock(revoke)
    headers = {"Authorization": f"Bearer {token}"}
    answer = api.call("GET", f"/v1/{path}/console?follow=true", headers=headers)
    assert answer.text == "before"


@pytest.mark.parametrize("path", ["instances/web", "nodes/n1"])
def test_a_console_is_followed_beyond_a_while_without_the_database(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_id = place(api)
    api.run(api.say(node_id, "before"))
    token = api.post("/v1/tokens", {"name": "ci", "role": "operator"}, 201)["token"]

    async def gone(work: object) -> None:
        raise TransientError("use the database", answer="it doesn't answer")

    async def lose() -> None:
        api.context.forget_credentials()
        await api.say(node_id, ", meanwhile")
        monkeypatch.setattr(api.store, "transact", gone)

    async def find() -> None:
        monkeypatch.undo()

    async def look() -> None:
        pass

    async def revoke() -> None:
        assert (await api.request("DELETE", "/v1/tokens/ci")).is_success

    api.context.clock = ScriptedClock(lose, find, look, revoke)
    headers = {"Authorization": f"Bearer {token}"}
    answer = api.call("GET", f"/v1/{path}/console?follow=true", headers=headers)
    assert answer.text == "before, meanwhile"


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
        ({"node": "board"}, "node", "the image is for x86_64, and the node is arm64"),
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


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?<=a)b", "(a", "((a{1000}){1000}){1000}", "a" * 257], ids=lambda one: one[:12]
)
def test_a_pattern_that_cant_be_looked_for_in_bounded_time_is_refused(api: Api, pattern: str) -> None:
    refused = api.post("/v1/instances", order(proof_of_life=[f"console:{pattern}"]), 422)
    assert refused["errors"][0]["field"] == "proof_of_life.0"
    api.post("/v1/instances", order(proof_of_life=["console:(a+)+$"]), 202)

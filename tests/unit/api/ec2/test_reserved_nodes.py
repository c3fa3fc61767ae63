"""A node that is reserved for one tenant is to another as if it weren't there, whichever way it asks."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest
from httpx import Response

from provisioner.api.address_pool import AddressPool
from provisioner.core.model import Failure, Instance, Node
from provisioner.core.states import ProvisionState
from provisioner.scheduler.scheduler import Scheduler
from provisioner.services.system import RandomIds
from tests.unit.api.conftest import Api, User, node_entry
from tests.unit.api.ec2.conftest import Ec2

KEPT, UNKNOWN = "kept1", "nope1"
FREE = {"owner": "ch1", "state": ProvisionState.AVAILABLE}


def enrol(api: Api, name: str, number: int, **changes: Any) -> str:
    id = str(api.post("/v1/nodes", node_entry(name, number, **changes), 201)["id"])
    api.transact(lambda tx: tx.update(Node, id, FREE))
    return id


def keep(api: Api) -> str:
    """A node for blue, too small for most and in a zone of its own."""
    api.user_of("blue", "member")
    return enrol(api, KEPT, 2, reserved_for="blue", zone="bluezone", disk_mib=2)


def root_id(ec2: Ec2) -> str:
    found = ec2.read("DescribeImages")["Images"]
    return next(str(one["ImageId"]) for one in found if one["Name"] == "root")


def order(api: Api, red: User, reds: Ec2, node: str) -> tuple[int, str]:
    body = {"name": "web", "flavor": "small", "image": "root", "node": node}
    answer = red.call("POST", "/v1/instances", body)
    return answer.status_code, answer.text


def dry_run(api: Api, red: User, reds: Ec2, node: str) -> tuple[int, str]:
    answer = red.call("POST", "/v1/placement", {"flavor": "small", "image": "root", "node": node})
    return answer.status_code, answer.text


def run_on_host(api: Api, red: User, reds: Ec2, node: str) -> tuple[int, str]:
    once = {"ImageId": root_id(reds), "InstanceType": "small", "MinCount": "1", "MaxCount": "1"}
    return told_by(reds.call("RunInstances", **once, **{"Placement.HostId": node}))


def told_by(answer: Response) -> tuple[int, str]:
    """But the request's own id."""
    return answer.status_code, answer.text.partition("<RequestID>")[0]


NAMING = {"instance": order, "placement": dry_run, "EC2 HostId": run_on_host}
Way = Callable[[Api, User, Ec2, str], tuple[int, str]]


@pytest.mark.parametrize("way", NAMING.values(), ids=NAMING)
@pytest.mark.parametrize("by", ["name", "id"])
def test_who_names_a_node_that_is_kept_for_another_hears_what_is_said_of_none(
    api: Api, ec2: Ec2, way: Way, by: str
) -> None:
    api.register_images()
    enrol(api, "open1", 1)
    id = keep(api)
    red, reds = api.user_of("red", "member"), Ec2(api, "red")
    kept = KEPT if by == "name" else id
    unknown = "z" * len(kept)
    status, told = way(api, red, reds, kept)
    assert (status, told.replace(kept, unknown)) == way(api, red, reds, unknown)
    assert status in (400, 404)
    assert "blue" not in told


def zones(api: Api, red: User, reds: Ec2) -> Any:
    return reds.read("DescribeAvailabilityZones")


def zone_by_name(api: Api, red: User, reds: Ec2) -> Any:
    return told_by(reds.call("DescribeAvailabilityZones", **{"ZoneName.1": "bluezone"}))


def run_large(api: Api, reds: Ec2, **more: str) -> tuple[int, str]:
    once = {"ImageId": root_id(reds), "InstanceType": "large", "MinCount": "1", "MaxCount": "1"}
    return told_by(reds.call("RunInstances", **once, **more, ClientToken=api.context.ids.uuid()))


def run_in_zone(api: Api, red: User, reds: Ec2) -> Any:
    return run_large(api, reds, **{"Placement.AvailabilityZone": "bluezone"})


def run_anywhere(api: Api, red: User, reds: Ec2) -> Any:
    return run_large(api, reds)


def would_get(api: Api, red: User, reds: Ec2) -> Any:
    return red.call("POST", "/v1/placement", {"flavor": "large", "image": "root"}).json()


def waits_for(api: Api, red: User, reds: Ec2, **more: str) -> Any:
    """What is said of a request that nothing fits, by the scheduler. more: of it, since it was taken."""
    body = {"name": "waits", "flavor": "large", "image": "root"}
    id = red.call("POST", "/v1/instances", body).json()["id"]
    api.transact(lambda tx: tx.update(Instance, id, {"waiting_for": "", **more}))
    api.run(Scheduler(api.store, api.context.clock, RandomIds()).place_some())
    told = red.call("GET", f"/v1/instances/{id}").json()["waiting_for"]
    red.call("DELETE", f"/v1/instances/{id}")
    assert told
    return told


def waits_in_zone(api: Api, red: User, reds: Ec2) -> Any:
    return waits_for(api, red, reds, zone="bluezone")


def asks_for_zone(api: Api, red: User, reds: Ec2) -> Any:
    body = {"name": "waits", "flavor": "large", "image": "root", "zone": "bluezone"}
    return told_by(red.call("POST", "/v1/instances", body))


def would_get_in_zone(api: Api, red: User, reds: Ec2) -> Any:
    body = {"flavor": "large", "image": "root", "zone": "bluezone"}
    return told_by(red.call("POST", "/v1/placement", body))


def failed(api: Api, red: User, reds: Ec2) -> Any:
    """The end of a request that its node failed, and no other can carry."""
    body = {"name": "fails", "flavor": "large", "image": "root"}
    id = red.call("POST", "/v1/instances", body).json()["id"]
    failure = Failure(code="x", message="it broke", likely_cause="A fuse")
    api.transact(lambda tx: tx.update(Instance, id, {"failed_on": ("gone",), "failure": failure}))
    scheduler = Scheduler(api.store, api.context.clock, RandomIds())
    while api.run(scheduler.place_some()):
        pass
    told = red.call("GET", f"/v1/instances/{id}").json()
    red.call("DELETE", f"/v1/instances/{id}")
    assert told["state"] == "error"
    return told["failure"], told["waiting_for"]


TELLING = {
    "zones": zones,
    "a zone": zone_by_name,
    "run in a zone": run_in_zone,
    "run anywhere": run_anywhere,
    "placement": would_get,
    "waiting": waits_for,
    "waiting in a zone": waits_in_zone,
    "asked for in a zone": asks_for_zone,
    "placement in a zone": would_get_in_zone,
    "failure": failed,
}


@pytest.mark.parametrize("way", TELLING.values(), ids=TELLING)
@pytest.mark.parametrize("others", [0, 1, 21])
def test_what_is_told_of_all_nodes_is_the_same_without_those_that_are_kept_for_another(
    api: Api, ec2: Ec2, way: Callable[[Api, User, Ec2], Any], others: int
) -> None:
    api.register_images()
    api.context.pool = AddressPool(IPv4Address("10.77.0.100"), IPv4Address("10.77.0.199"))
    api.post("/v1/flavors", {"name": "large", "memory_mib": 2**20}, 201)
    for number in range(others):
        enrol(api, f"open{number}", 100 + number)
    red, reds = api.user_of("red", "member"), Ec2(api, "red")
    without = way(api, red, reds)
    keep(api)
    assert way(api, red, reds) == without


def test_who_oversees_the_nodes_and_who_they_are_kept_for_see_them(api: Api, ec2: Ec2) -> None:
    api.register_images()
    id = keep(api)
    blue, blues = User(api, "blue", "reader"), Ec2(api, "blue")
    wide = {"flavor": "small", "image": "root"}
    told = blue.call("POST", "/v1/placement", {**wide, "node": KEPT}).json()
    assert told["why"].startswith(f"node {KEPT}: it has 2 MiB of disk")
    assert [one["ZoneName"] for one in zones(api, blue, blues)["AvailabilityZones"]] == ["bluezone"]
    assert [
        one["ZoneName"] for one in zones(api, blue, Ec2(api, "red", "operator"))["AvailabilityZones"]
    ] == ["bluezone"]
    told = api.post("/v1/placement", {**wide, "node": id}, 200)
    assert told["why"] == f"node {KEPT}: it is reserved for another tenant"
    # And don't order what can't be had.
    told = api.post("/v1/instances", {"name": "web", **wide, "node": KEPT}, 422)
    assert told["answer"] == "the node is reserved for tenant blue, and you are of default"


def test_a_node_reserved_since_it_was_asked_for_is_gone_for_who_asked(api: Api) -> None:
    api.register_images()
    id = enrol(api, KEPT, 1)
    red = api.user_of("red", "member")
    api.user_of("blue", "member")
    made = red.call(
        "POST", "/v1/instances", {"name": "web", "flavor": "small", "image": "root", "node": KEPT}
    )
    api.transact(lambda tx: tx.update(Node, id, {"reserved_for": "blue"}))
    api.run(Scheduler(api.store, api.context.clock, RandomIds()).place_some())
    told = red.call("GET", f"/v1/instances/{made.json()['id']}").json()["waiting_for"]
    assert told == f"there is no node {KEPT}"

from __future__ import annotations

from typing import Any

import pytest

from provisioner.api.named_places import MOST_TOLD
from provisioner.core.model import Host, Instance
from tests.unit.api.conftest import Api
from tests.unit.records import NOW, node

pytestmark = pytest.mark.usefixtures("images_registered")

PATHS = {"/v1/instances": {"name": "web"}, "/v1/placement": {}}
"""Where requests name a place, and what each needs beside."""


def enrol(api: Api, *zones: str, **changes: Any) -> None:
    nodes = (node(id=f"n-{zone}", name=f"n-{zone}", zone=zone, **changes) for zone in zones)
    api.transact(lambda tx: tx.insert(*nodes))


def host(name: str) -> Host:
    return Host(id=name, epoch=1, beat=1, ttl_ms=5000, renewed_at=NOW, started_at=NOW, holder=name)


def asked(path: str, **changes: Any) -> dict[str, Any]:
    return {"flavor": "small", "image": "root", **PATHS[path], **changes}


@pytest.mark.parametrize("path", PATHS)
def test_a_zone_that_no_node_is_in_is_not_asked_for(api: Api, path: str) -> None:
    enrol(api, "", "east")
    member = api.user_of("blue", "member")
    told = member.call("POST", path, asked(path, zone="west"))
    assert (told.status_code, told.json()["answer"]) == (404, "no node is in it")
    assert "east" not in told.text
    told = api.post(path, asked(path, zone="west"), 404)
    assert told["advice"] == "There are: default, east"
    assert api.transact(lambda tx: tx.count(Instance)) == 0
    assert member.call("POST", path, asked(path, zone="east")).is_success
    assert api.call("POST", path, json=asked(path, zone="default")).is_success


@pytest.mark.parametrize("path", PATHS)
def test_a_zone_whose_nodes_are_all_kept_for_another_tenant_is_not_there(api: Api, path: str) -> None:
    enrol(api, "east", reserved_for="green")
    blue, green = api.user_of("blue", "member"), api.user_of("green", "member")
    kept, none = (blue.call("POST", path, asked(path, zone=zone)) for zone in ("east", "west"))
    assert (kept.status_code, kept.text.replace("east", "west")) == (404, none.text)
    assert green.call("POST", path, asked(path, zone="east")).is_success


@pytest.mark.parametrize("path", PATHS)
def test_before_any_node_is_enrolled_there_is_the_default_zone(api: Api, path: str) -> None:
    assert api.call("POST", path, json=asked(path, zone="default")).is_success
    enrol(api, "east")
    assert api.user_of("blue", "member").call("POST", path, asked(path, zone="default")).status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_a_compute_host_that_nobody_knows_is_not_asked_for(api: Api, path: str) -> None:
    names = [f"ch{n:02}" for n in range(MOST_TOLD + 2)]
    api.transact(lambda tx: tx.insert(*map(host, names)))
    told = api.user_of("blue", "member").call("POST", path, asked(path, host="ch99"))
    assert (told.status_code, told.json()["answer"]) == (404, "there is none of that name")
    assert "ch01" not in told.text
    told = api.post(path, asked(path, host="ch99"), 404)
    assert told["advice"] == f"There are: {', '.join(names[:MOST_TOLD])} and 2 more"
    assert api.call("POST", path, json=asked(path, host="ch01")).is_success

from __future__ import annotations

from datetime import timedelta

import pytest

from provisioner.api import hosts
from provisioner.core.model import Host
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from provisioner.services.system import SystemClock
from tests.unit.api.conftest import Api
from tests.unit.records import NOW, node

BRIEF_S = 0.2
"""Of a lease, for which a host that is to be forgotten is watched."""


def put(api: Api, name: str, left_s: float, nodes: int = 0, *, lease_s: float = 5.0) -> None:
    host = Host(
        id=name,
        epoch=3,
        beat=1,
        ttl_ms=round(lease_s * 1000),
        renewed_at=NOW + timedelta(seconds=left_s - lease_s),
        started_at=NOW,
        holder=name,
    )
    owned = [node(id=f"{name}-{n}", name=f"{name}-{n}", owner=name) for n in range(nodes)]
    working = node(id=f"{name}-w", name=f"{name}-w", owner=name, state=ProvisionState.DEPLOYING)
    api.transact(lambda tx: tx.insert(host, *owned, *([working] if nodes else [])))


def test_hosts_are_shown_with_their_lease_and_their_nodes(api: Api) -> None:
    put(api, "ch1", 4.2, nodes=2)
    put(api, "ch2", -9)
    one, two = api.get("/v1/hosts")["items"]
    assert (one["state"], one["nodes"], one["working"], one["lease_left_s"]) == ("serving", 3, 1, 4.2)
    assert (two["state"], two["nodes"], two["lease_left_s"]) == ("gone", 0, 0.0)
    assert api.get("/v1/hosts/ch1") == one
    assert "holder" not in one
    assert "none of that name" in api.get("/v1/hosts/ch9", 404)["title"]


def test_a_host_is_drained_and_not(api: Api) -> None:
    put(api, "ch1", 9)
    assert api.call("PUT", "/v1/hosts/ch1/drain").json()["state"] == "draining"
    assert api.get("/v1/hosts/ch1")["draining"] is True
    assert api.call("DELETE", "/v1/hosts/ch1/drain").json()["state"] == "serving"
    assert api.call("PUT", "/v1/hosts/ch9/drain").status_code == 404


def test_only_a_host_that_is_gone_and_owns_nothing_is_forgotten(api: Api) -> None:
    put(api, "alive", 9)
    put(api, "owning", -9, nodes=1)
    put(api, "gone", -9, lease_s=BRIEF_S)
    for name, told in (("alive", "it is alive"), ("owning", "it owns 2 nodes")):
        refused = api.call("DELETE", f"/v1/hosts/{name}")
        assert refused.status_code == 409
        assert told in refused.json()["title"]
    assert api.call("DELETE", "/v1/hosts/gone").status_code == 204
    assert api.get("/v1/hosts/gone", 404)


def test_a_host_that_lives_is_not_forgotten_though_the_clock_was_set(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api, "ch1", 4.2)
    api.advanced_s = 3600.0

    async def renews_meanwhile(clock: SystemClock, duration_s: float) -> None:
        await api.store.transact(lambda tx: tx.update(Host, "ch1", {"beat": 2}))

    monkeypatch.setattr(SystemClock, "sleep", renews_meanwhile)
    refused = api.call("DELETE", "/v1/hosts/ch1")
    assert refused.status_code == 409
    assert "it is alive" in refused.json()["title"]
    assert api.get("/v1/hosts/ch1")["state"] == "serving"


def test_a_host_that_may_live_is_not_forgotten(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "MOST_WAITED_S", 0.0)
    put(api, "ch1", -9)
    refused = api.call("DELETE", "/v1/hosts/ch1")
    assert refused.status_code == 409
    assert (
        "that it is gone can't be told before its lease of 5 s is over. Ask again" in refused.json()["title"]
    )


def test_hosts_are_in_the_metrics_as_long_as_they_are_known(api: Api) -> None:
    put(api, "ch1", 4.2, nodes=2)
    put(api, "ch2", -9, lease_s=BRIEF_S)
    text = api.call("GET", "/metrics").text
    assert 'provisioner_host_nodes{host="ch1"} 3.0' in text
    assert 'provisioner_host_lease_left_seconds{host="ch1"} 4.2' in text
    assert 'provisioner_host_lease_left_seconds{host="ch2"} 0.0' in text
    assert 'provisioner_host_epoch{host="ch2"} 3.0' in text
    api.call("DELETE", "/v1/hosts/ch2")
    assert 'host="ch2"' not in api.call("GET", "/metrics").text


def test_the_largest_node_that_a_host_can_still_offer_is_told(api: Api) -> None:
    put(api, "ch1", 4.2, nodes=2)
    put(api, "ch2", 4.2)
    put(api, "gone", -9, nodes=1)

    def more(tx: Tx) -> None:
        tx.insert(node(id="large", name="large", owner="ch1", cpus=16, memory_mib=2048, disk_mib=9000))
        huge = {"owner": "ch1", "memory_mib": 2**20}
        tx.insert(node(id="ill", name="ill", deploy_failures=3, **huge))
        tx.insert(node(id="out", name="out", maintenance=True, **huge))
        tx.insert(node(id="used", name="used", state=ProvisionState.ACTIVE, **huge))

    api.transact(more)
    told = {host["name"]: host["largest_free_node"] for host in api.get("/v1/hosts")["items"]}
    assert told == {"ch1": {"memory_mib": 2048, "cpus": 16, "disk_mib": 9000}, "ch2": None, "gone": None}
    text = api.call("GET", "/metrics").text
    assert 'provisioner_host_largest_free_node{host="ch1",resource="cpus"} 16.0' in text
    assert 'provisioner_host_largest_free_node{host="ch2",resource="memory_mib"} 0.0' in text

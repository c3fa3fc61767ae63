from __future__ import annotations

import asyncio

import pytest

from provisioner.api.credentials import MAX_KNOWN, Known
from provisioner.api.limits import MAX_BUCKETS, Buckets, LimitPolicy, Limits
from tests.unit.api.conftest import Api
from tests.unit.records import instance, node

FEW = LimitPolicy(requests_per_s=1.0, request_burst=3, failures_per_minute=2, body_bytes=65_536)
WRONG = {"Authorization": "Bearer wrong"}


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
def watch(api: Api, monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(api.context.clock, "monotonic_s", watch.monotonic_s)
    return watch


def test_a_bucket_gives_what_it_holds_and_fills_up_again() -> None:
    buckets = Buckets(rate_per_s=2.0, burst=2)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.wait_s("a", 0.25) == 0.25
    assert [buckets.take("a", 0.5), buckets.take("a", 0.5)] == [0.0, 0.5]
    assert [buckets.take("a", 1000.0) for _ in range(3)] == [0.0, 0.0, 0.5]


def test_buckets_are_bounded_and_those_used_last_are_kept() -> None:
    buckets = Buckets(rate_per_s=0.001, burst=1)
    for number in range(MAX_BUCKETS):
        buckets.take(str(number), 0.0)
    buckets.take("0", 0.0)
    buckets.take("one more", 0.0)
    assert len(buckets) == MAX_BUCKETS
    assert buckets.wait_s("0", 0.0) > 0
    assert buckets.wait_s("1", 0.0) == 0


def test_a_user_who_asks_for_too_much_is_told_when_to_ask_again(api: Api, watch: Watch) -> None:
    ann = api.user_of("blue", "reader")
    api.context.limits = Limits(FEW)
    watch.now_s += 1
    assert [ann.call("GET", "/v1/images").status_code for _ in range(3)] == [200] * 3
    told = ann.call("GET", "/v1/images")
    assert (told.status_code, told.headers["retry-after"]) == (429, "1")
    assert told.json()["code"] == "too-many-requests"
    assert api.get("/v1/images")  # another's
    watch.now_s += 1
    assert ann.call("GET", "/v1/images").status_code == 200


def test_wrong_tokens_are_counted_by_address_and_who_is_known_goes_on(api: Api, watch: Watch) -> None:
    api.context.limits = Limits(LimitPolicy(failures_per_minute=2))
    api.get("/v1/images")
    assert [api.call("GET", "/v1/images", headers=WRONG).status_code for _ in range(2)] == [401, 401]
    told = api.call("GET", "/v1/images", headers=WRONG)
    assert (told.status_code, told.headers["retry-after"]) == (429, "30")
    assert api.get("/v1/images")
    watch.now_s += 20  # what was known is looked up again by now
    assert api.get("/v1/images")
    watch.now_s += 10
    assert api.call("GET", "/v1/images", headers=WRONG).status_code == 401


def test_who_brings_no_token_keeps_nobody_else_of_its_address_out(api: Api, watch: Watch) -> None:
    ann = api.user_of("blue", "reader")
    api.context.limits = Limits(LimitPolicy(failures_per_minute=1))
    for nothing in ("", "Bearer", "Basic YW5uOg=="):
        assert api.call("GET", "/v1/images", headers={"Authorization": nothing}).status_code == 401
    assert ann.call("GET", "/v1/images").status_code == 200


def test_who_is_known_goes_on_though_credentials_change_while_wrong_ones_come(api: Api, watch: Watch) -> None:
    ann = api.user_of("blue", "reader")
    api.post("/v1/tokens", {"name": "gone"}, 201)
    api.context.limits = Limits(LimitPolicy(failures_per_minute=1))
    assert ann.call("GET", "/v1/images").status_code == 200
    assert api.call("GET", "/v1/images", headers=WRONG).status_code == 401
    assert api.call("DELETE", "/v1/tokens/gone").status_code == 204
    watch.now_s += 1
    assert api.call("GET", "/v1/images", headers=WRONG).status_code == 429
    assert ann.call("GET", "/v1/images").status_code == 200
    assert api.call("DELETE", f"/v1/users/{ann.name}").status_code == 204
    assert ann.call("GET", "/v1/images").status_code == 401
    assert ann.call("GET", "/v1/images").status_code == 429


def test_what_is_known_of_credentials_is_bounded_and_those_read_last_are_kept() -> None:
    known = Known[str]()
    for number in range(MAX_KNOWN):
        known.put(str(number), "found", 1.0)
    known.put("0", "found", 2.0)
    known.put("one more", "found", 2.0)
    assert "0" in known
    assert "1" not in known


def test_a_guess_at_a_token_is_refused_without_asking_the_store(api: Api, watch: Watch) -> None:
    made = api.post("/v1/tokens", {"name": "new"}, 201)["token"]
    api.context.limits = Limits(LimitPolicy(failures_per_minute=1))
    api.call("GET", "/v1/images", headers=WRONG)
    as_new = {"Authorization": f"Bearer {made}"}
    assert api.call("GET", "/v1/images", headers=as_new).status_code == 429
    watch.now_s += 60
    assert api.call("GET", "/v1/images", headers=as_new).status_code == 200


def test_the_size_of_a_body_is_as_configured(api: Api) -> None:
    api.context.limits = Limits(FEW)
    told = api.call("POST", "/v1/nodes", content=b" " * 65_537)
    assert (told.status_code, told.json()["title"]) == (413, "a request's body may have 65536 bytes")


@pytest.mark.parametrize("path", ["/v1/instances/web?wait_s=60", "/v1/instances/web/console?follow=true"])
def test_a_user_keeps_so_many_requests_open_and_no_more(api: Api, path: str) -> None:
    ann, ben = api.user_of("blue", "reader"), api.user_of("blue", "member")
    asked = instance(tenant="blue", node_id="node-1")
    api.transact(lambda tx: tx.insert(node(instance_id=asked.id), asked))
    api.context.limits = Limits(LimitPolicy(open_requests=2))

    async def story() -> None:
        opened = [asyncio.create_task(api.request("GET", path, headers=ann.headers)) for _ in range(2)]
        short = "/v1/instances/web?wait_s=0.001"
        async with asyncio.timeout(30):
            while len(api.context.limits.open) < 2:
                await asyncio.sleep(0)
        told = await api.request("GET", short, headers=ann.headers)
        assert (told.status_code, told.headers["retry-after"]) == (429, "1")
        assert told.json()["code"] == "too-many-requests"
        assert "2 requests of this user" in told.json()["answer"]
        assert (await api.request("GET", path, headers=ann.headers)).status_code == 429
        assert (await api.request("GET", "/v1/instances/web", headers=ann.headers)).status_code == 200
        assert (await api.request("GET", short, headers=ben.headers)).status_code == 200
        for task in opened:
            task.cancel()
        await asyncio.wait(opened)
        assert (await api.request("GET", short, headers=ann.headers)).status_code == 200

    api.run(story())

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from provisioner.api.credentials import CACHE_S
from provisioner.protocols.store import Store
from tests.unit.api.conftest import TOKEN, Api, node_entry

WRONG = ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]


@pytest.mark.parametrize("header", WRONG)
def test_nobody_gets_in_without_a_token(api: Api, header: str) -> None:
    answer = api.call("GET", "/v1/nodes", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "admin.token" in answer.json()["advice"]


def test_even_what_is_not_there_is_told_to_nobody_without_a_token(api: Api) -> None:
    assert api.call("GET", "/v1/nothing", headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
def test_what_watches_the_service_needs_no_token(api: Api, path: str) -> None:
    assert api.call("GET", path, headers={"Authorization": ""}).status_code == 200


def test_a_revoked_token_is_refused_at_once(api: Api) -> None:
    made = api.post("/v1/tokens", {"name": "ci"}, 201)
    as_ci = {"Authorization": f"Bearer {made['token']}"}
    assert api.call("GET", "/v1/nodes", headers=as_ci).status_code == 200
    assert api.call("DELETE", "/v1/tokens/ci").status_code == 204
    assert api.call("GET", "/v1/nodes", headers=as_ci).status_code == 401


def test_a_token_that_is_revoked_while_it_is_looked_up_is_not_remembered(api: Api) -> None:
    made = api.post("/v1/tokens", {"name": "ci"}, 201)
    read, revoked = asyncio.Event(), asyncio.Event()

    class SlowStore:
        async def transact(self, work: Any) -> Any:
            found = await api.store.transact(work)
            read.set()
            await revoked.wait()
            return found

    async def story() -> int:
        slow = replace(api.context, store=cast(Store, SlowStore()))
        lookup = asyncio.create_task(slow.owner_of(made["token"]))
        await read.wait()
        assert (await api.request("DELETE", "/v1/tokens/ci")).status_code == 204
        revoked.set()
        assert await lookup is not None
        as_ci = {"Authorization": f"Bearer {made['token']}"}
        return (await api.request("GET", "/v1/nodes", headers=as_ci)).status_code

    assert api.run(story()) == 401


def test_tokens_are_stored_as_hashes_and_shown_once(api: Api) -> None:
    made = api.post("/v1/tokens", {"name": "ci"}, 201)
    listed = api.call("GET", "/v1/tokens").text
    assert "ci" in listed
    assert made["token"] not in listed
    assert CACHE_S < 60


def test_the_last_token_cannot_be_deleted(api: Api) -> None:
    answer = api.call("DELETE", "/v1/tokens/first")
    assert answer.status_code == 409
    assert "last" in answer.json()["title"]
    assert api.call("DELETE", "/v1/tokens/nobodys").status_code == 404


def test_a_second_token_of_a_name_is_refused(api: Api) -> None:
    api.post("/v1/tokens", {"name": "ci"}, 201)
    api.post("/v1/tokens", {"name": "ci"}, 409)


@pytest.mark.parametrize(
    "path", ["/v1/users/content", "/v1/hosts/content/content", "/v1/images/a/b/content", "/content"]
)
def test_no_other_body_than_an_images_is_without_bounds(api: Api, path: str) -> None:
    assert api.call("PUT", path, content=b" " * (2**20 + 1)).status_code == 413


def test_a_body_that_is_too_large_is_refused_unread(api: Api) -> None:
    answer = api.call("POST", "/v1/nodes", content=b" " * (2**20 + 1))
    assert answer.status_code == 413
    claimed = api.call("POST", "/v1/nodes", content=b"{}", headers={"Content-Length": "9" * 5000})
    assert claimed.status_code == 413


def test_a_body_of_unknown_length_is_refused_but_for_an_images_content(api: Api) -> None:
    def endless() -> Iterator[bytes]:
        yield b"{}"

    async def chunks():  # type: ignore[no-untyped-def]
        for chunk in endless():
            yield chunk

    assert api.call("POST", "/v1/nodes", content=chunks()).status_code == 411
    assert api.call("PUT", "/v1/images/none/content", content=chunks()).status_code == 404


def test_an_order_without_a_body_needs_none(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    answer = api.call("POST", "/v1/nodes/n1/verify")
    assert answer.status_code == 409  # it is enrolling already; the request itself was fine
    assert answer.json()["code"] == "conflict"


def test_requests_are_counted_by_route_and_not_by_what_a_client_makes_up(api: Api) -> None:
    api.post("/v1/nodes", node_entry(), 201)
    api.get("/v1/nodes/n1")
    api.call("GET", "/v1/nodes/n2")
    api.call("BREW", "/v1/coffee")
    text = api.call("GET", "/metrics").text
    counted = "provisioner_api_request_seconds_count"
    assert f'{counted}{{method="GET",route="/v1/nodes/{{node}}",status="200"}} 1.0' in text
    assert f'{counted}{{method="GET",route="/v1/nodes/{{node}}",status="404"}} 1.0' in text
    assert f'{counted}{{method="other",route="none",status="404"}} 1.0' in text
    assert 'provisioner_nodes{state="enrolling"} 1.0' in text
    assert "BREW" not in text

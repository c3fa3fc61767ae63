from __future__ import annotations

import re

import pytest
from fastapi import APIRouter
from starlette.routing import Route

from provisioner.api.application import ROUTERS
from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.gate import OPEN_PATHS
from provisioner.api.rights import ANYBODY, RIGHTS, GuardedRoute
from provisioner.core.roles import Role, lesser
from tests.described import described
from tests.unit.api.conftest import Api

REST = {f"{verb.upper()} {path}" for path, verbs in described()["paths"].items() for verb in verbs}


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert set(RIGHTS) == REST | {f"ec2 {name}" for name in OPERATIONS}


def test_a_route_without_a_row_cannot_be_made() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(AssertionError, match="POST /v1/backdoor"):
        router.post("/v1/backdoor")(lambda: None)


def test_every_route_is_guarded() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, Route)]
    assert routes
    assert all(isinstance(route, GuardedRoute) for route in routes)


def test_what_anybody_may_ask_is_what_needs_no_token() -> None:
    open_rows = {row for row, right in RIGHTS.items() if right is ANYBODY}
    assert open_rows == {f"GET {path}" for path in OPEN_PATHS if path != "/openapi.json"}


def test_a_read_changes_nothing_and_takes_no_more_than_looking() -> None:
    for row, right in RIGHTS.items():
        if right.least is Role.READER:
            assert not right.changes, row
        if row.startswith(("PUT", "DELETE")) or (row.startswith("POST") and row != "POST /v1/placement"):
            assert right.changes, row
        if row.startswith("GET"):
            assert not right.changes, row


@pytest.mark.parametrize("role", list(Role))
def test_each_role_is_refused_exactly_what_takes_a_higher_one(api: Api, role: Role) -> None:
    user = api.user_of("blue", role)
    for row in sorted(REST):
        verb, _, path = row.partition(" ")
        least = RIGHTS[row].least
        refused = least is not None and not role.covers(least)
        answer = user.call(verb, re.sub(r"\{\w+\}", "none", path))
        assert (answer.status_code == 403) == refused, (row, answer.text)
        if refused:
            assert answer.json()["code"] == "forbidden"
            assert f"takes the role {least}" in answer.json()["title"]


def test_of_two_roles_the_lesser_counts(api: Api) -> None:
    ann = api.user_of("blue", "member")
    made = api.post("/v1/tokens", {"name": "look", "user": ann.name, "role": "reader"}, 201)
    assert made["role"] == "reader"
    as_reader = {"Authorization": f"Bearer {made['token']}"}
    assert api.call("GET", "/v1/images", headers=as_reader).status_code == 200
    assert api.call("DELETE", "/v1/images/none", headers=as_reader).status_code == 403
    more = api.post("/v1/tokens", {"name": "more", "user": ann.name, "role": "admin"}, 201)
    as_member = {"Authorization": f"Bearer {more['token']}"}
    assert api.call("GET", "/v1/keys/none", headers=as_member).status_code == 404
    assert api.call("GET", "/v1/users", headers=as_member).status_code == 403
    assert [lesser(one, Role.OPERATOR) for one in Role] == ["reader", "member", "operator", "operator"]


def test_a_user_who_gets_another_role_has_it_at_once_with_all_tokens(api: Api) -> None:
    ann = api.user_of("blue", "operator")
    assert ann.call("GET", "/v1/nodes").status_code == 200
    assert api.call("PUT", f"/v1/users/{ann.name}", json={"role": "reader"}).status_code == 200
    assert ann.call("GET", "/v1/nodes").status_code == 403
    api.call("PUT", f"/v1/users/{ann.name}", json={"role": "admin"}).raise_for_status()
    assert ann.call("GET", "/v1/users").status_code == 200
    assert api.call("DELETE", f"/v1/users/{ann.name}").status_code == 204
    assert ann.call("GET", "/v1/images").status_code == 401

"""Every operation, REST's and EC2's alike, with the least role that may ask for it.

An operation without a row here can't be served: its route isn't even made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from provisioner.api.answers import address_of
from provisioner.api.audit import Entry
from provisioner.api.direct_route import direct
from provisioner.core.errors import Forbidden
from provisioner.core.roles import Principal, Role


@dataclass(frozen=True, slots=True)
class Right:
    """least: None for anybody, without a token even. changes: whether it changes anything."""

    least: Role | None
    changes: bool = False


ANYBODY = Right(None)
READ = Right(Role.READER)
ORDER = Right(Role.MEMBER, changes=True)
WATCH = Right(Role.OPERATOR)
OPERATE = Right(Role.OPERATOR, changes=True)
INSPECT = Right(Role.ADMIN)
ADMINISTER = Right(Role.ADMIN, changes=True)

RIGHTS: Mapping[str, Right] = {
    "GET /v1/nodes": WATCH,
    "POST /v1/nodes": OPERATE,
    "GET /v1/nodes/{node}": WATCH,
    "DELETE /v1/nodes/{node}": OPERATE,
    "PUT /v1/nodes/{node}/maintenance": OPERATE,
    "DELETE /v1/nodes/{node}/maintenance": OPERATE,
    "PUT /v1/nodes/{node}/reservation": OPERATE,
    "DELETE /v1/nodes/{node}/reservation": OPERATE,
    "PUT /v1/nodes/{node}/disks": OPERATE,
    "PUT /v1/nodes/{node}/power-device": OPERATE,
    "POST /v1/nodes/{node}/power": OPERATE,
    "GET /v1/nodes/{node}/requests/{request_id}": WATCH,
    "POST /v1/nodes/{node}/verify": OPERATE,
    "POST /v1/nodes/{node}/clean": OPERATE,
    "GET /v1/nodes/{node}/events": WATCH,
    "GET /v1/nodes/{node}/console": WATCH,
    "GET /v1/hosts": WATCH,
    "GET /v1/hosts/{host}": WATCH,
    "PUT /v1/hosts/{host}/drain": OPERATE,
    "DELETE /v1/hosts/{host}/drain": OPERATE,
    "DELETE /v1/hosts/{host}": OPERATE,
    "GET /v1/events": WATCH,
    # Of its tenant, and for who oversees of all:
    "POST /v1/instances": ORDER,
    "GET /v1/instances": READ,
    "GET /v1/instances/{instance}": READ,
    "GET /v1/instances/{instance}/timeline": READ,
    "GET /v1/instances/{instance}/console": READ,
    "POST /v1/instances/{instance}/power": ORDER,
    "GET /v1/instances/{instance}/requests/{request_id}": READ,
    "DELETE /v1/instances/{instance}": ORDER,
    "POST /v1/placement": READ,
    # What is public belongs to all to read, and to who oversees to change.
    "POST /v1/images": ORDER,
    "PUT /v1/images/{image}/content": ORDER,
    "PUT /v1/images/{image}/sharing": ORDER,
    "GET /v1/images": READ,
    "GET /v1/images/{image}": READ,
    "DELETE /v1/images/{image}": ORDER,
    "POST /v1/keys": ORDER,
    "GET /v1/keys": READ,
    "GET /v1/keys/{key}": READ,
    "DELETE /v1/keys/{key}": ORDER,
    "POST /v1/flavors": OPERATE,
    "GET /v1/flavors": READ,
    "GET /v1/flavors/{flavor}": READ,
    "DELETE /v1/flavors/{flavor}": OPERATE,
    "POST /v1/tenants": ADMINISTER,
    "GET /v1/tenants": INSPECT,
    "DELETE /v1/tenants/{tenant}": ADMINISTER,
    "POST /v1/users": ADMINISTER,
    "GET /v1/users": INSPECT,
    "PUT /v1/users/{user}": ADMINISTER,
    "DELETE /v1/users/{user}": ADMINISTER,
    "POST /v1/tokens": ADMINISTER,
    "GET /v1/tokens": INSPECT,
    "DELETE /v1/tokens/{name}": ADMINISTER,
    "POST /v1/access-keys": ADMINISTER,
    "GET /v1/access-keys": INSPECT,
    "DELETE /v1/access-keys/{id}": ADMINISTER,
    "GET /v1/audit": INSPECT,
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /metrics": ANYBODY,
    "ec2 CreateKeyPair": ORDER,
    "ec2 CreateTags": ORDER,
    "ec2 DeleteKeyPair": ORDER,
    "ec2 DeleteTags": ORDER,
    "ec2 DeregisterImage": ORDER,
    "ec2 DescribeAccountAttributes": READ,
    "ec2 DescribeAvailabilityZones": READ,
    "ec2 DescribeImageAttribute": READ,
    "ec2 DescribeImages": READ,
    "ec2 DescribeInstanceStatus": READ,
    "ec2 DescribeInstanceTypes": READ,
    "ec2 DescribeInstances": READ,
    "ec2 DescribeKeyPairs": READ,
    "ec2 DescribeRegions": READ,
    "ec2 DescribeTags": READ,
    "ec2 GetConsoleOutput": READ,
    "ec2 ImportKeyPair": ORDER,
    "ec2 ModifyImageAttribute": ORDER,
    "ec2 RebootInstances": ORDER,
    "ec2 RegisterImage": ORDER,
    "ec2 RunInstances": ORDER,
    "ec2 StartInstances": ORDER,
    "ec2 StopInstances": ORDER,
    "ec2 TerminateInstances": ORDER,
}


def covers(operation: str, who: Principal) -> bool:
    """Whether its role is one that the operation may be asked by."""
    least = RIGHTS[operation].least
    return least is None or who.role.covers(least)


def forbidden(operation: str, who: Principal) -> Forbidden:
    least = RIGHTS[operation].least
    return Forbidden(
        operation,
        answer=f"this takes the role {least}, and the credential used has the role {who.role}",
        advice="Ask an admin to do it, or for a token of that role",
    )


def _entry(scope: Scope, operation: str) -> Entry:
    return Entry(
        who=scope["state"]["who"],
        operation=operation,
        target=scope["path"],
        address=address_of(Request(scope)),
        request_id=scope["app"].state.context.ids.uuid(),
    )


class GuardedRoute(APIRoute):
    """A route of REST's, passed by who has the right to it. The gate has proven who it is."""

    def __init__(self, path: str, *args: Any, **options: Any) -> None:
        super().__init__(path, *args, **options)
        self.app = direct(self)
        self._begins = path.partition("{")[0]
        self._operations = {method: f"{method} {path}" for method in self.methods or ()}
        missing = [name for name in self._operations.values() if name not in RIGHTS]
        assert not missing, f"{missing} have no row in RIGHTS"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        # Of some sixty routes most begin otherwise, which is seen sooner than that a pattern doesn't match.
        if not scope["path"].startswith(self._begins) and not scope.get("root_path"):
            return Match.NONE, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._operations.get(scope["method"])
        if operation is not None and RIGHTS[operation].least is not None:
            state = scope["state"]
            refused = not covers(operation, state["who"])
            if refused or RIGHTS[operation].changes:
                state["entry"] = _entry(scope, operation)
            if refused:
                raise forbidden(operation, state["who"])
        await super().handle(scope, receive, send)

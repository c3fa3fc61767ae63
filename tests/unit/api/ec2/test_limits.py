from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.api.ec2 import endpoint
from provisioner.api.limits import LimitPolicy, Limits
from tests.unit.api.ec2.conftest import Ec2, code_of


def test_who_asks_for_too_much_is_told_so_as_ec2_does(ec2: Ec2) -> None:
    ec2.api.context.limits = Limits(LimitPolicy(requests_per_s=0.001, request_burst=2))
    assert [ec2.call("DescribeImages").status_code for _ in range(2)] == [200, 200]
    told = ec2.call("DescribeImages")
    assert (told.status_code, code_of(told)) == (503, "RequestLimitExceeded")
    assert Ec2(ec2.api).call("DescribeImages").status_code == 200


def test_wrong_signatures_are_counted_and_keys_that_are_known_go_on(ec2: Ec2) -> None:
    assert ec2.call("DescribeImages").status_code == 200
    ec2.api.context.limits = Limits(LimitPolicy(failures_per_minute=2))
    right, ec2.secret = ec2.secret, "wrong"
    codes = [code_of(ec2.call("DescribeImages")) for _ in range(3)]
    assert codes == ["SignatureDoesNotMatch"] * 2 + ["RequestLimitExceeded"]
    ec2.secret = right
    assert ec2.call("DescribeImages").status_code == 200
    ec2.id = "AKIA0000000000000000"
    assert code_of(ec2.call("DescribeImages")) == "RequestLimitExceeded"


def test_the_size_of_a_body_is_as_configured(ec2: Ec2) -> None:
    ec2.api.context.limits = Limits(LimitPolicy(body_bytes=65_536))
    assert ec2.call("DescribeImages", ImageId="a" * 65_536).status_code == 413


async def dripped(ec2: Ec2, headers: dict[str, str]) -> tuple[int, str]:
    """Answer to a request of which one byte came, and no other ever will."""
    parts = [{"type": "http.request", "body": b"A", "more_body": True}]
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop()

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/ec2",
        "raw_path": b"/ec2",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("10.0.0.9", 1),
        "server": ("provisioner", 80),
        "scheme": "http",
    }
    async with asyncio.timeout(5):
        await ec2.api.app(scope, receive, send)
    return told[0]["status"], told[1]["body"].decode()


def test_a_body_without_a_signature_of_ours_is_not_waited_for(ec2: Ec2) -> None:
    status, text = ec2.api.run(dripped(ec2, {"Content-Length": "200000"}))
    assert (status, "MissingAuthenticationToken" in text) == (403, True)
    ec2.id = "AKIA0000000000000000"
    signed = dict(ec2.signed("Action=DescribeImages").headers.items())
    status, text = ec2.api.run(dripped(ec2, signed))
    assert (status, "InvalidClientTokenId" in text) == (403, True)


def test_a_body_that_does_not_come_is_not_waited_for_without_end(
    ec2: Ec2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "BODY_S", 0.01)
    signed = dict(ec2.signed("Action=DescribeImages").headers.items())
    status, text = ec2.api.run(dripped(ec2, signed))
    assert (status, "RequestTimeout" in text) == (408, True)

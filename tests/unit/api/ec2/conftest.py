"""EC2's own client library, speaking to the API in this process."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from provisioner.api.ec2.shapes import VERSION
from provisioner.services.system import RandomIds
from tests.unit.api.conftest import Api

URL = "http://provisioner/ec2"
PARSED = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

PUBLIC_KEY = b64encode(b"ssh-ed25519 " + b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(32))).decode()
"""In base64, as requests have it: a line of OpenSSH's, of an Ed25519 key of zeros."""


def code_of(answer: httpx.Response) -> str:
    """The code of a refusal, which is well-formed and of the shape that clients read."""
    found = ElementTree.fromstring(answer.content).findtext("Errors/Error/Code")
    assert found, answer.text
    return found


@cache
def _service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("ec2", "service-2", VERSION), "ec2")


class Ec2:
    """Requests as botocore signs them."""

    def __init__(self, api: Api, tenant: str = "default", role: str = "member") -> None:
        self.api = api
        made = api.post("/v1/access-keys", {"tenant": tenant, "role": role}, 201)
        self.id, self.secret = made["id"], made["secret"]

    def signed(self, body: str, *, region: str = "metal", service: str = "ec2", **headers: str) -> AWSRequest:
        told = {**PARSED, **headers}
        request = AWSRequest("POST", URL, data=body, headers=told)
        SigV4Auth(Credentials(self.id, self.secret), service, region).add_auth(request)
        return request

    def send(self, request: AWSRequest, **changes: Any) -> httpx.Response:
        headers = {**dict(request.headers.items()), **changes.pop("headers", {})}
        options = {"content": request.data, "headers": headers, **changes}
        return self.api.call("POST", options.pop("url", "/ec2"), **options)

    def call(self, action: str, **parameters: str) -> httpx.Response:
        words = {"Action": action, "Version": "2016-11-15", **parameters}
        return self.send(self.signed(str(httpx.QueryParams(words))))

    def read(self, action: str, **parameters: str) -> dict[str, Any]:
        """The answer, as botocore's reader has it."""
        answer = self.call(action, **parameters)
        assert answer.status_code == 200, answer.text
        shape = _service().operation_model(action).output_shape
        parser = create_parser("ec2")
        found = parser.parse({"body": answer.content, "headers": {}, "status_code": 200}, shape)
        del found["ResponseMetadata"]
        return dict(found)

    def refused(self, action: str, **parameters: str) -> str:
        answer = self.call(action, **parameters)
        assert 400 <= answer.status_code < 500, answer.text
        return code_of(answer)


@pytest.fixture
def ec2(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2]:
    # Ids by which EC2 clients know things are made of their random digits.
    api.context.ids = RandomIds()
    # botocore signs with the system's time, so the store has it too.
    begun = datetime.now().astimezone()
    monkeypatch.setattr("tests.unit.api.conftest.NOW", begun)
    yield Ec2(api)


def later(api: Api, seconds: float) -> None:
    """The store's clock goes on; what was read of it is forgotten."""
    api.advanced_s += timedelta(seconds=seconds).total_seconds()
    api.context.forget_credentials()

"""EC2's own clients against a `provisioner serve` of its own process, on a rack in memory."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from provisioner.core.model import ConsoleTail
from provisioner.protocols.store import Tx
from provisioner.store import open_store
from tests.wire.cli.conftest import SETTINGS, Service, eventually, serving

AWS = str(Path(sys.executable).parent / "aws")
# Instances are there within a second on this rack, and clients ask every 15 s unless they are told otherwise.
WAITING = {"Delay": 1, "MaxAttempts": 60}


CONSOLE = "\r\n\x1b[0;1mWillkommen in Köln\x1b[0m <&> \"'\\\t]]>\r\n\x07\ufffd 開始 🖥 login: \r\n\n  "
"""What a machine may say: colours, a bell, other alphabets, what XML and JSON escape, blanks at its end."""

LIVE = [
    {
        "Name": "instance-state-name",
        "Values": ["pending", "running", "shutting-down", "stopping", "stopped"],
    }
]
"""Filters."""


@dataclass
class Place:
    """The provisioner, where its EC2 API is, and access keys to it."""

    service: Service
    url: str

    def session(self, tenant: str = "default") -> boto3.Session:
        made = self.service.json("access-key", "create", "--tenant", tenant)
        return boto3.Session(made["id"], made["secret"], region_name="metal")

    def client(self, session: boto3.Session) -> Any:
        return session.client("ec2", endpoint_url=self.url, config=Config(retries={"total_max_attempts": 1}))

    def resource(self, session: boto3.Session) -> Any:
        return session.resource("ec2", endpoint_url=self.url)

    def plant_console(self, instance: str, text: str = CONSOLE) -> None:
        """As the host that recorded it keeps it for all APIs."""
        shown = self.service.json("instance", "show", instance)

        def plant(tx: Tx) -> None:
            tx.insert(
                ConsoleTail(id=shown["node_id"], instance_id=shown["id"], text=text, updated_at=tx.now())
            )

        async def story() -> None:
            store = open_store(f"sqlite:///{self.service.state / 'provisioner.db'}")
            try:
                await store.transact(plant)
            finally:
                await store.close()

        asyncio.run(story())

    def aws(self, session: boto3.Session, *words: str) -> subprocess.CompletedProcess[str]:
        """The AWS command line, which knows nothing of this system's configuration of it."""
        credentials = session.get_credentials()
        assert credentials is not None
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.service.folder),
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_DEFAULT_REGION": "metal",
            "AWS_ENDPOINT_URL_EC2": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }
        return subprocess.run(
            [AWS, "ec2", *words],
            env=environment,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )


def code_of(call: Callable[..., Any], **parameters: Any) -> str:
    """The code with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """With four nodes of two CPUs and the image `root`; images of members may come from this machine."""
    with serving(
        tmp_path_factory.mktemp("e"), {**SETTINGS, "image_urls": {"also": ["127.0.0.0/8"]}}
    ) as service:
        service.enrol("n1", "n2", "n3", "n4")
        service.register_images()
        service.json("flavor", "create", "huge", "--cpus", "999")
        yield Place(service, f"http://127.0.0.1:{port_of(service)}/ec2")
        assert "ec2.defect" not in (service.folder / "serve.log").read_text()


def port_of(service: Service) -> int:
    """On which it listens; the configuration lets it choose."""
    assert service.serving is not None
    pid = service.serving.pid

    def listening() -> int | None:
        told = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        for line in told.splitlines():
            found = re.search(r"127\.0\.0\.1:(\d+)\s", line)
            if found and f"pid={pid}," in line and _speaks_http(int(found[1])):
                return int(found[1])
        return None

    return eventually("it listens", listening)


def _speaks_http(port: int) -> bool:
    import httpx

    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def ec2(place: Place) -> Iterator[Any]:
    """A client; what it ran is gone when the test is."""
    client = place.client(place.session())
    yield client
    release(client)


def there(client: Any) -> list[Any]:
    """The reservations of what isn't terminated: other tests' instances are told of for an hour."""
    return list(client.describe_instances(Filters=LIVE)["Reservations"])


def release(client: Any) -> None:
    found = client.describe_instances()["Reservations"]
    ids = [one["InstanceId"] for reservation in found for one in reservation["Instances"]]
    if ids:
        client.terminate_instances(InstanceIds=ids)
        client.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=WAITING)

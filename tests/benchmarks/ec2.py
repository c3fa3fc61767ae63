"""How soon EC2's clients are answered: the whole provisioner, with in-memory drivers, and boto3.

    .venv/bin/python -m tests.benchmarks.ec2 [--nodes 1000] [--clients 100] [--check]

Clients, all at once, ask for ten instances each. Printed: until all have been answered, until every
instance has a node, until all run, and what one DescribeInstances of all of them takes: as HTTP, and with
boto3's reading of the XML.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from tests.benchmarks import control_plane
from tests.benchmarks.control_plane import (
    PHASE_DEADLINE_S,
    _each,
    _node,
    _register_images,
    _until,
    provisioner,
)
from tests.benchmarks.goals import Goal, exit_code, offer_check
from tests.ports import free_port

GOALS = (Goal("placed_s", 10, "s"), Goal("describe_ms", 150, "ms"))

EACH = 10
REPEATS = 9


def _on_port(port: int) -> Callable[[Path], dict[str, Any]]:
    settings = control_plane.settings

    def changed(folder: Path) -> dict[str, Any]:
        told = settings(folder)
        told["api"]["listen"] = f"127.0.0.1:{port}"
        return told

    return changed


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def _instances(client: Any) -> list[dict[str, Any]]:
    found = client.describe_instances()["Reservations"]
    return [one for reservation in found for one in reservation["Instances"]]


def _placed(client: Any, count: int) -> None:
    end = time.monotonic() + PHASE_DEADLINE_S
    while sum("HostId" in one["Placement"] for one in _instances(client)) < count:
        if time.monotonic() > end:
            raise SystemExit("not all instances were given nodes")
        time.sleep(0.2)


def _raw(url: str, session: boto3.Session) -> Callable[[], None]:
    """DescribeInstances, signed anew each time (by another region: a signature has a second to itself)."""
    numbers = iter(range(10**6))
    body = "Action=DescribeInstances&Version=2016-11-15"
    credentials = session.get_credentials()
    client = httpx.Client(trust_env=False, timeout=60)

    def ask() -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        request = AWSRequest("POST", url, data=body, headers=headers)
        SigV4Auth(credentials, "ec2", f"r{next(numbers)}").add_auth(request)
        client.post(url, content=body, headers=dict(request.headers.items())).raise_for_status()

    return ask


async def measure(nodes: int, clients: int) -> dict[str, float]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/ec2"
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(control_plane, "settings", _on_port(port)),
    ):
        async with provisioner(Path(folder)) as (rest, _):
            await _register_images(rest)
            await _each(rest, [("POST", "/v1/nodes", _node(number)) for number in range(nodes)])
            await _until(rest, "/v1/nodes?limit=1000", "available", nodes)
            made = (await rest.post("/v1/access-keys", json={})).json()
            session = boto3.Session(made["id"], made["secret"], region_name="metal")
            return await asyncio.to_thread(_measure, session, url, clients)


def _measure(session: boto3.Session, url: str, clients: int) -> dict[str, float]:
    config = Config(max_pool_connections=clients, read_timeout=120, retries={"total_max_attempts": 1})
    client = session.client("ec2", endpoint_url=url, config=config)
    (image,) = client.describe_images(Filters=[{"Name": "image-type", "Values": ["machine"]}])["Images"]

    def run(_: int) -> None:
        client.run_instances(ImageId=image["ImageId"], InstanceType="bench", MinCount=EACH, MaxCount=EACH)

    begun = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, range(clients)))
    answered_s = time.monotonic() - begun
    _placed(client, clients * EACH)
    placed_s = time.monotonic() - begun
    client.get_waiter("instance_running").wait(WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    running_s = time.monotonic() - begun
    raw = _raw(url, session)
    raw()
    return {
        "answered_s": answered_s,
        "placed_s": placed_s,
        "running_s": running_s,
        "describe_ms": 1000 * statistics.median(_seconds(raw) for _ in range(REPEATS)),
        "describe_boto3_ms": 1000
        * statistics.median(_seconds(lambda: _instances(client)) for _ in range(REPEATS)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=100)
    offer_check(parser)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.nodes, arguments.clients))
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))
    return exit_code(GOALS, found, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())

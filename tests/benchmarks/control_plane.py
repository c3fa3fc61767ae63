"""How many deploys a second the control plane carries: REST, engine and store, with in-memory drivers.

    .venv/bin/python -m tests.benchmarks.control_plane [--nodes 200] [--rounds 3] [--check]

The client is another process than the provisioner, as in life. A round enrols nodes, deploys one
instance on each, waits until all are ACTIVE, deletes them and waits until all nodes are available
again. Printed: the median over the rounds of each phase, and the memory of an idle provisioner.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.benchmarks.goals import Goal, exit_code, offer_check

GOALS = (
    Goal("enrol + deploy", 100, "a second", at_least=True),
    Goal("idle with 1,000 nodes", 143, "MiB"),
)

BIN = Path(sys.executable).parent
PHASE_DEADLINE_S = 300.0
AT_ONCE = 16
"""Requests that the client has under way."""


def settings(folder: Path) -> dict[str, Any]:
    return {
        "state_dir": str(folder / "state"),
        "rack": "fake",
        "host": {"name": "bench"},
        "api": {"listen": "127.0.0.1:0", "socket": str(folder / "api.sock")},
        "network": {
            "interface": "lo",
            "address": "127.0.0.1",
            "subnet": "10.0.0.0/16",
            "pool": "10.0.1.0-10.0.60.255",
            "http_port": 0,
            "serve_dhcp": False,
        },
        "deploy": {"max_writes": 1000},
        "log": {"level": "warning"},
    }


@asynccontextmanager
async def provisioner(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, int]]:
    """A `provisioner serve` of its own, a client to it, and its process id."""
    config = folder / "provisioner.yaml"
    config.write_text(yaml.safe_dump(settings(folder)))
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen([BIN / "provisioner", "serve", "--config", config], stdout=log, stderr=log)
    try:
        transport = httpx.AsyncHTTPTransport(uds=str(folder / "api.sock"))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://provisioner", timeout=60
        ) as client:
            await _ready(client, process, folder)
            token = (folder / "state" / "admin.token").read_text().strip()
            client.headers["Authorization"] = f"Bearer {token}"
            yield client, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + 30
    while True:
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the provisioner didn't start:\n{(folder / 'serve.log').read_text()}")
        try:
            if (await client.get("/readyz")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.05)


async def _each(client: httpx.AsyncClient, calls: list[tuple[str, str, Any]], at_once: int = AT_ONCE) -> None:
    """Makes the calls, `at_once` of them at a time."""
    turns = asyncio.Semaphore(at_once)

    async def call(method: str, path: str, body: Any) -> None:
        async with turns:
            answer = await client.request(method, path, json=body)
            if answer.is_error:
                raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")

    await asyncio.gather(*(call(*arguments) for arguments in calls))


async def _all(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = path
    while page:
        answer = (await client.get(page)).json()
        found += answer["items"]
        page = answer.get("next") or ""
    return found


async def _until(client: httpx.AsyncClient, path: str, state: str, count: int) -> None:
    end = time.monotonic() + PHASE_DEADLINE_S
    while True:
        states = [item["state"] for item in await _all(client, path)]
        if states.count(state) >= count:
            return
        if time.monotonic() > end:
            raise SystemExit(f"{states.count(state)} of {count} became {state}: {set(states)}")
        await asyncio.sleep(0.2)


async def _register_images(client: httpx.AsyncClient) -> None:
    for kind in ("kernel", "ramdisk", "root"):
        data = kind.encode() * 4096 if kind != "root" else bytes(2**20)
        body: dict[str, Any] = {"name": kind, "kind": kind, "format": "raw", "arch": "x86_64"}
        body["sha256"] = hashlib.sha256(data).hexdigest()
        if kind == "root":
            body |= {"kernel_id": "kernel", "ramdisk_id": "ramdisk"}
        made = await client.post("/v1/images", json=body)
        made.raise_for_status()
        (await client.put(f"/v1/images/{made.json()['id']}/content", content=data)).raise_for_status()
    flavor = {"name": "bench", "cpus": 1, "memory_mib": 1, "disk_mib": 1}
    (await client.post("/v1/flavors", json=flavor)).raise_for_status()


def _node(number: int) -> dict[str, Any]:
    mac = f"52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    return {
        "name": f"n{number}",
        "arch": "x86_64",
        "firmware": "bios",
        "vcpus": 1,
        "memory_mib": 1024,
        "disk_mib": 4096,
        "ports": [{"mac": mac}],
        "boot": "ipxe",
        "power": {"driver": "fake"},
    }


async def one_round(nodes: int, at_once: int = AT_ONCE) -> dict[str, float]:
    """Seconds of each phase."""
    with tempfile.TemporaryDirectory() as folder:
        async with provisioner(Path(folder)) as (client, _):
            return await phases(client, nodes, at_once)


async def phases(client: httpx.AsyncClient, nodes: int, at_once: int = AT_ONCE) -> dict[str, float]:
    """Seconds of each, on a provisioner that knows nothing yet."""
    took: dict[str, float] = {}
    await _register_images(client)
    begun = time.monotonic()
    await _each(client, [("POST", "/v1/nodes", _node(number)) for number in range(nodes)], at_once)
    await _until(client, "/v1/nodes?limit=1000", "available", nodes)
    took["enrol"] = time.monotonic() - begun
    deploying = time.monotonic()
    orders = [{"name": f"i{number}", "flavor": "bench", "image": "root"} for number in range(nodes)]
    await _each(client, [("POST", "/v1/instances", order) for order in orders], at_once)
    await _until(client, "/v1/instances?limit=1000", "active", nodes)
    took["deploy"] = time.monotonic() - deploying
    took["enrol + deploy"] = time.monotonic() - begun
    ids = [item["id"] for item in await _all(client, "/v1/instances?limit=1000")]
    deleting = time.monotonic()
    await _each(client, [("DELETE", f"/v1/instances/{instance}", None) for instance in ids])
    await _until(client, "/v1/nodes?limit=1000", "available", nodes)
    took["delete"] = time.monotonic() - deleting
    return took


async def idle_memory_mib(nodes: int) -> float:
    """Resident memory of `provisioner serve` and its children with that many idle nodes."""
    with tempfile.TemporaryDirectory() as folder:
        async with provisioner(Path(folder)) as (client, pid):
            await _each(client, [("POST", "/v1/nodes", _node(number)) for number in range(nodes)])
            await _until(client, "/v1/nodes?limit=1000", "available", nodes)
            children = subprocess.run(
                ["ps", "--ppid", str(pid), "-o", "rss="], capture_output=True, text=True, check=False
            ).stdout.split()
            own = Path(f"/proc/{pid}/statm").read_text().split()[1]
            return (int(own) * os.sysconf("SC_PAGE_SIZE") / 1024 + sum(map(int, children))) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    offer_check(parser)
    arguments = parser.parse_args()
    rounds = [asyncio.run(one_round(arguments.nodes)) for _ in range(arguments.rounds)]
    medians = {phase: statistics.median(took[phase] for took in rounds) for phase in rounds[0]}
    memory = asyncio.run(idle_memory_mib(1000))
    if arguments.json:
        print(json.dumps({"nodes": arguments.nodes, "median_s": medians, "idle_memory_mib": memory}))
    else:
        for phase, took_s in medians.items():
            print(f"{phase:>16}: {took_s:6.2f} s  {arguments.nodes / took_s:7.1f}/s")
        print(f"idle with 1,000 nodes: {memory:.0f} MiB")
    figures = {phase: arguments.nodes / took_s for phase, took_s in medians.items()}
    return exit_code(GOALS, {**figures, "idle with 1,000 nodes": memory}, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())

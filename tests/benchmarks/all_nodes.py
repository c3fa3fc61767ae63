"""What requests that look at every node take, and how long they hold up others meanwhile.

    .venv/bin/python -m tests.benchmarks.all_nodes [--nodes 10000] [--at-once 24]

On SQLite, by the API in this process. `alone`: one request. `crowd`: so many at once. held up: the longest
that a transaction which reads nothing, as /readyz has it, waited meanwhile; a compute host's renewal of its
lease waits as long. All nodes are free. `found`: the flavor asks for what agents found.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from httpx import QueryParams

from provisioner.core.model import Flavor, Host, Image
from provisioner.services.system import RandomIds
from tests.benchmarks.placement import AT, fill
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.records import NOW

Ask = Callable[[], Awaitable[Any]]


async def held_up_s(api: Api, work: Awaitable[Any]) -> tuple[tuple[float, float], Any]:
    """By the clock, and by this process's own time: others may share the machine."""
    longest, longest_cpu = 0.0, 0.0
    task = asyncio.ensure_future(work)
    while not task.done():
        begun, cpu = time.perf_counter(), time.process_time()
        await api.store.transact(lambda tx: tx.now())
        longest = max(longest, time.perf_counter() - begun)
        longest_cpu = max(longest_cpu, time.process_time() - cpu)
        await asyncio.sleep(0.001)
    return (longest, longest_cpu), task.result()


def flavors() -> tuple[Flavor, ...]:
    return (
        Flavor(id="wide", name="wide", cpus=1, memory_mib=2**30, disk_mib=1),
        Flavor(id="ssd", name="ssd", cpus=1, memory_mib=1, disk_mib=1, extra_specs={"ssd": "true"}),
        Flavor(id="one", name="one", cpus=1, memory_mib=1, disk_mib=1),
        Flavor(id="hdd", name="hdd", cpus=1, memory_mib=1, disk_mib=1, extra_specs={"ssd": "false"}),
    )


def measure(api: Api, nodes: int, at_once: int) -> None:
    api.run(fill(api.store, nodes, busy=0))
    hosts = [
        Host(id=f"ch{n}", epoch=1, beat=1, ttl_ms=10**12, holder="", renewed_at=AT, started_at=AT)
        for n in range(4)
    ]
    api.transact(lambda tx: tx.insert(*hosts, *flavors()))
    ec2 = Ec2(api)
    id = RandomIds().uuid()
    api.transact(lambda tx: tx.insert(*(replace(one, id=id, name="ec2") for one in tx.find(Image))))
    image = next(one["ImageId"] for one in ec2.read("DescribeImages")["Images"] if one["Name"] == "ec2")

    async def dry_run(flavor: str, number: int) -> int:
        order = {"flavor": flavor, "image": "image"}
        return (await api.request("POST", "/v1/placement", json=order)).status_code

    async def run(flavor: str, number: int) -> int:
        count = {"MinCount": "1", "MaxCount": "1", "ClientToken": f"{flavor}{number}{time.monotonic()}"}
        words = {"Action": "RunInstances", "Version": "2016-11-15", "InstanceType": flavor, "ImageId": image}
        signed = ec2.signed(str(QueryParams(words | count | {"DryRun": "true"})))
        headers = dict(signed.headers.items())
        return (await api.request("POST", "/ec2", content=signed.data, headers=headers)).status_code

    async def metrics(_: str, number: int) -> int:
        return (await api.request("GET", "/metrics")).status_code

    asked: tuple[tuple[str, Callable[[str, int], Awaitable[int]], str], ...] = (
        ("placement", dry_run, "one"),
        ("placement, none fits", dry_run, "wide"),
        ("placement, found", dry_run, "ssd"),
        ("RunInstances", run, "one"),
        ("RunInstances, none fits", run, "wide"),
        ("RunInstances, found, none fits", run, "hdd"),
        ("/metrics", metrics, ""),
    )
    for what, ask, flavor in asked:
        for how, number in (("alone", 1), ("crowd", at_once)):

            async def all_of_them(ask: Any = ask, flavor: str = flavor, number: int = number) -> list[int]:
                return list(await asyncio.gather(*(ask(flavor, n) for n in range(number))))

            begun, cpu = time.perf_counter(), time.process_time()
            (longest, longest_cpu), answers = api.run(held_up_s(api, all_of_them()))
            took, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
            print(
                f"{what:31} {how}: {took:6.2f} s, {cpu_s:6.2f} s of CPU, "
                f"held up {longest * 1e3:7.1f} ms, {longest_cpu * 1e3:7.1f} of CPU; {dict(Counter(answers))}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=24)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        api = Api(Path(folder), f"sqlite:///{folder}/all.db")
        api.advanced_s = (datetime.now(UTC) - NOW).total_seconds()  # requests are signed with the system's
        api.context.ids = RandomIds()
        api.start()
        try:
            measure(api, given.nodes, given.at_once)
        finally:
            api.stop()


if __name__ == "__main__":
    main()

"""How many requests a second the scheduler places, how long one takes, and whether more nodes make it dearer.

    .venv/bin/python -m tests.benchmarks.placement [--nodes 100,1000,10000] [--requests 1000] [--check]

On SQLite (durable) and in memory. The nodes are of eight sizes, on PDUs of twenty outlets, in racks of forty,
shared by four compute hosts, and have been inspected; half as many again are at work. `crowd`: all requests
wait at once. `alone`: one after the other, each with the scheduler idle before. CPU is this process's own,
all its threads': it tells more than the clock where other work shares the machine. p99: of the transactions
that placed something, from their begin until they are durable; whoever asked has waited for no more than
that, and for the turns before his.

`growth`: crowds of fifty in turn among each number of nodes, on SQLite, medians of 21 rounds: what more nodes
cost when the crowd is the same. And, of three rounds more, the instructions of Python and of SQLite's virtual
machine: they are the same on every machine, and tell more nodes from caches that others use too.

`claims`: a thousand requests from a thousand tasks for a thousand nodes, three schedulers, on SQLite; each
node must be one request's.
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
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from provisioner.core.model import Flavor, Image, ImageKind, ImageState, Instance, Node, Port, Record
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from provisioner.protocols.store import Store, Tx
from provisioner.scheduler.scheduler import LOOK_EVERY_S, Scheduler
from provisioner.services.system import RandomIds, SystemClock
from provisioner.store import open_store
from tests.benchmarks.goals import Goal, exit_code, offer_check
from tests.benchmarks.work import Work

GOALS = (
    Goal("sqlite, 10000 nodes, crowd: placements", 2_000, "a second", at_least=True),
    Goal("sqlite, 10000 nodes, crowd: p99", 20, "ms"),
    Goal("sqlite, crowd of 50: CPU among 10000 nodes ÷ among 100", 1.5, cold=True),
    Goal("sqlite, crowd of 50: instructions among 10000 nodes ÷ among 100", 1.5),
)

SAME = 50
"""As many requests as half of the fewest nodes."""
ROUNDS, COUNTED_ROUNDS = 21, 3

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_AT_ONCE = 500


def node(number: int, *, busy: bool) -> Node:
    pdu, outlet = divmod(number, 20)
    disk = {"path": "/dev/sda", "size_bytes": 2**40, "rotational": False, "serial": f"S{number}", "wwn": ""}
    nic = {"name": "eth0", "mac": f"m{number}", "carrier": True, "speed_mbps": 10_000, "driver": "ixgbe"}
    return Node(
        id=f"{number * 2654435761 % 2**32:08x}-{number:06}",
        name=f"n{number:06}",
        arch="x86_64",
        firmware="uefi",
        cpus=8 << number % 2,
        memory_mib=16_384 << number % 4,
        disk_mib=100_000 * (1 + number % 8),
        boot_driver="ipxe",
        deploy_driver="iscsi",
        power_driver="snmp",
        power_address={
            "family": "apc_rackpdu",
            "address": f"10.{pdu // 250}.{pdu % 250}.1",
            "outlets": [outlet],
        },
        rack=f"r{number // 40}",
        state=ProvisionState.ACTIVE if busy else ProvisionState.AVAILABLE,
        power_state=PowerState.ON if busy else PowerState.OFF,
        instance_id=f"old-{number}" if busy else None,
        owner=f"ch{number % 4}",
        inventory={
            "cpus": 8,
            "arch": "x86_64",
            "memory_mib": 16_384,
            "firmware": "uefi",
            "disks": [disk],
            "nics": [nic, nic],
            "boot_mac": f"m{number}",
            "traits": [f"cpu_feature{i}" for i in range(60)],
        },
        created_at=AT,
        updated_at=AT,
    )


FLAVORS = tuple(
    Flavor(
        id=f"f{size}",
        name=f"f{size}",
        cpus=2 * size,
        memory_mib=8_192 * size,
        disk_mib=10_000,
        extra_specs={"cpu_arch": "x86_64", "ssd": "true"},
    )
    for size in (1, 2, 3, 4)
)


def request(number: int) -> Instance:
    return Instance(
        id=f"i{number:06}",
        name=f"i{number}",
        flavor=FLAVORS[number % len(FLAVORS)],
        image_id="image",
        kernel_id=None,
        ramdisk_id=None,
        tenant=f"t{number % 10}",
        created_at=AT,
        updated_at=AT,
    )


async def fill(store: Store, nodes: int, *, busy: int) -> None:
    image = Image(
        id="image",
        name="image",
        kind=ImageKind.DISK,
        format="raw",
        arch="x86_64",
        state=ImageState.ACTIVE,
        virtual_size_bytes=2**30,
        created_at=AT,
        updated_at=AT,
    )
    await store.transact(lambda tx: tx.insert(image))
    for begin in range(0, nodes + busy, ROWS_AT_ONCE):
        numbers = range(begin, min(begin + ROWS_AT_ONCE, nodes + busy))
        rows: list[Record] = [node(number, busy=number >= nodes) for number in numbers]
        ports: list[Record] = [
            Port(id=f"mac{number}", node_id=str(row.id), address=f"a{number}")
            for number, row in zip(numbers, rows, strict=True)
        ]
        await store.transact(partial(insert, rows + ports))


def insert(records: list[Record], tx: Tx) -> None:
    tx.insert(*records)


async def ask(store: Store, numbers: range) -> None:
    rows = [request(number) for number in numbers]
    await store.transact(lambda tx: tx.insert(*rows))


async def release(store: Store, requests: int) -> None:
    """All nodes that were placed are free again, as after their cleaning."""
    where = {"state": ProvisionState.DEPLOYING}

    def work(tx: Tx) -> None:
        for (id,) in tx.pick(Node, "id", where=where):
            tx.update(Node, id, {"state": ProvisionState.AVAILABLE, "instance_id": None, "work": None})
        for number in range(requests):
            tx.delete(Instance, f"i{number:06}")
        tx.notify("offers")

    await store.transact(work)


@dataclass(frozen=True)
class Figures:
    store: str
    nodes: int
    how: str
    per_s: float
    cpu_us: float
    p99_ms: float
    p99_cpu_ms: float
    learned_us: float

    @property
    def named(self) -> dict[str, float]:
        of = f"{self.store}, {self.nodes} nodes, {self.how}"
        return {f"{of}: placements": self.per_s, f"{of}: p99": self.p99_ms}

    def told(self) -> str:
        return (
            f"{self.store:8} {self.nodes:6} nodes, {self.how:6}: {self.per_s:7,.0f} placements/s, "
            f"{self.cpu_us:6.0f} µs of CPU each, p99 {self.p99_ms:5.1f} ms, {self.p99_cpu_ms:.1f} of CPU; "
            f"{self.learned_us:.0f} µs to learn of a node that came free"
        )


def p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100, method="inclusive")[98] if len(took) > 1 else took[0]


async def placed(store: Store) -> int:
    return await store.transact(lambda tx: tx.count(Instance, where={"state": InstanceState.BUILDING}))


@dataclass(frozen=True)
class Crowd:
    """What was measured while requests were placed. took_s, took_cpu_s: transaction by transaction."""

    took_s: list[float]
    took_cpu_s: list[float]
    whole_s: float
    cpu_s: float


async def place(store: Store, scheduler: Scheduler, numbers: range) -> Crowd:
    """They ask at once, and all get a node."""
    await ask(store, numbers)
    took_s: list[float] = []
    took_cpu_s: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    more = True
    while more:
        one = time.perf_counter(), time.process_time()
        more = await scheduler.place_some()
        took_s.append(time.perf_counter() - one[0])
        took_cpu_s.append(time.process_time() - one[1])
    return Crowd(took_s, took_cpu_s, time.perf_counter() - wall, time.process_time() - cpu)


async def free(store: Store, scheduler: Scheduler, requests: int) -> float:
    """All were placed, and their nodes come free. Seconds of CPU until the scheduler knows: what has come
    free is learned as it comes, whether anybody waits or not."""
    assert await placed(store) == requests
    await release(store, requests)
    await asyncio.sleep(LOOK_EVERY_S)
    cpu = time.process_time()
    await scheduler.place_some()
    return time.process_time() - cpu


async def warm(store: Store, nodes: int, requests: int) -> Scheduler:
    """After one round that nobody counts: the first look reads all nodes."""
    await fill(store, nodes, busy=nodes // 2)
    scheduler = Scheduler(store, SystemClock(), RandomIds())
    await place(store, scheduler, range(requests))
    await free(store, scheduler, requests)
    return scheduler


async def measure(name: str, store: Store, nodes: int, requests: int) -> list[Figures]:
    requests = min(requests, nodes // 2)
    scheduler = await warm(store, nodes, requests)
    figures = []
    for how, at_once in (("crowd", requests), ("alone", 1)):
        found = [
            await place(store, scheduler, range(begin, begin + at_once))
            for begin in range(0, requests, at_once)
        ]
        learned_us = await free(store, scheduler, requests) / requests * 1e6
        figures.append(
            Figures(
                name,
                nodes,
                how,
                per_s=requests / sum(one.whole_s for one in found),
                cpu_us=sum(one.cpu_s for one in found) / requests * 1e6,
                p99_ms=p99([took for one in found for took in one.took_s]) * 1e3,
                p99_cpu_ms=p99([took for one in found for took in one.took_cpu_s]) * 1e3,
                learned_us=learned_us,
            )
        )
    return figures


@dataclass(frozen=True)
class Growth:
    """For each placement of a crowd that is the same among all numbers of nodes, by these."""

    cpu_us: dict[int, float]
    instructions: dict[int, float]

    @property
    def figures(self) -> dict[str, float]:
        """Each against the fewest."""
        return {
            f"sqlite, crowd of {SAME}: {what} among {nodes} nodes ÷ among {fewest}": found / by[fewest]
            for what, by in (("CPU", self.cpu_us), ("instructions", self.instructions))
            for fewest in (min(by),)
            for nodes, found in by.items()
            if nodes != fewest
        }


async def growth(open_one: Callable[[int], Store], sizes: list[int]) -> Growth:
    async with AsyncExitStack() as opened:
        work = opened.enter_context(Work())
        schedulers: dict[int, tuple[Store, Scheduler]] = {}
        for nodes in sizes:
            store = open_one(nodes)
            opened.push_async_callback(store.close)
            schedulers[nodes] = store, await warm(store, nodes, SAME)
        cpu_us: dict[int, list[float]] = {nodes: [] for nodes in sizes}
        instructions: dict[int, list[float]] = {nodes: [] for nodes in sizes}
        for _ in range(ROUNDS):
            for nodes, (store, scheduler) in schedulers.items():
                crowd = await place(store, scheduler, range(SAME))
                cpu_us[nodes].append(crowd.cpu_s / SAME * 1e6)
                await free(store, scheduler, SAME)
        for _ in range(COUNTED_ROUNDS):
            for nodes, (store, scheduler) in schedulers.items():
                with work.counted() as count:
                    await place(store, scheduler, range(SAME))
                instructions[nodes].append(count() / SAME)
                await free(store, scheduler, SAME)
    return Growth(
        {nodes: statistics.median(found) for nodes, found in cpu_us.items()},
        {nodes: statistics.median(found) for nodes, found in instructions.items()},
    )


async def claims(url: str, number: int) -> float:
    """Seconds until a thousand tasks have asked and have their nodes, none of them two."""
    stores = [open_store(url) for _ in range(3)]
    try:
        await fill(stores[0], number, busy=0)
        schedulers = [(store, Scheduler(store, SystemClock(), RandomIds())) for store in stores]
        begun = time.perf_counter()

        async def until_all(store: Store, scheduler: Scheduler) -> None:
            while await placed(store) < number:
                await scheduler.place_some()

        asking = [ask(stores[0], range(one, one + 1)) for one in range(number)]
        await asyncio.gather(*asking, *(until_all(*one) for one in schedulers))
        took_s = time.perf_counter() - begun
        found = await stores[0].transact(lambda tx: tx.find(Instance))
        taken = await stores[0].transact(lambda tx: tx.find(Node))
        assert {one.id: one.node_id for one in found} == {one.instance_id: one.id for one in taken}
        return took_s
    finally:
        for store in stores:
            await store.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", default="100,1000,10000")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    offer_check(parser)
    given = parser.parse_args()
    found: list[Figures] = []
    with tempfile.TemporaryDirectory() as folder:
        urls: dict[str, Callable[[int], str]] = {
            "sqlite": lambda nodes: f"sqlite:///{Path(folder)}/{nodes}.db",
            "memory": lambda nodes: "memory:",
        }

        async def one(name: str, nodes: int) -> list[Figures]:
            store = open_store(urls[name](nodes))
            try:
                return await measure(name, store, nodes, given.requests)
            finally:
                await store.close()

        for name in urls:
            for nodes in map(int, given.nodes.split(",")):
                found += asyncio.run(one(name, nodes))
                if not given.json:
                    print("\n".join(figures.told() for figures in found[-2:]), flush=True)
        sizes = sorted({nodes for nodes in map(int, given.nodes.split(",")) if nodes >= 2 * SAME})
        same = asyncio.run(growth(lambda nodes: open_store(f"sqlite:///{folder}/same-{nodes}.db"), sizes))
        claims_s = asyncio.run(claims(f"sqlite:///{Path(folder)}/claims.db", 1000))
    if given.json:
        print(json.dumps([vars(figures) for figures in found]))
    else:
        for nodes, took_us in same.cpu_us.items():
            print(
                f"sqlite   {nodes:6} nodes, crowd of {SAME}: {took_us:6.0f} µs of CPU each, "
                f"{same.instructions[nodes]:,.0f} instructions"
            )
        print(
            f"1,000 requests for 1,000 nodes, each from a task of its own, three schedulers: {claims_s:.2f} s"
        )
    named = {name: value for figures in found for name, value in figures.named.items()}
    return exit_code(GOALS, named | (same.figures if sizes else {}), check=given.check)


if __name__ == "__main__":
    sys.exit(main())

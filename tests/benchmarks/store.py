"""How many transactions a second the store takes, and what one costs.

    python -m tests.benchmarks.store [--tasks 200] [--seconds 5] [--profile]

One transaction is what a deploy step does: read the clock, move the node's work on under its fence, add
three timeline events. `busy` runs them beside a loop that always has something to compute, as the engine
and the API do. PostgreSQL is a server of our own on this machine, whose commits wait for the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import itertools
import pstats
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fixtures.postgres_server import PostgresServer
from provisioner.core.model import Node, TimelineEvent, Work
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Store, Tx
from provisioner.store import open_store, upgrade_store


@dataclass(frozen=True, slots=True)
class Measured:
    per_second: float
    cpu_us: float  # of the whole process, per transaction
    worst_ms: float  # the longest that one caller waited

    def __str__(self) -> str:
        return f"{self.per_second:8.0f}/s  {self.cpu_us:6.1f} µs CPU each  worst {self.worst_ms:6.1f} ms"


def node(number: int, tx: Tx) -> Node:
    return Node(
        id=f"00000000-0000-4000-8000-{number:012}",
        name=f"n{number}",
        arch="x86_64",
        firmware="bios",
        cpus=8,
        memory_mib=16_384,
        disk_mib=100_000,
        boot_driver="ipxe",
        deploy_driver="iscsi",
        power_driver="ipmi",
        power_address={"address": f"10.78.0.{number}", "user": "admin"},
        owner="host-1",
        fence=3,
        state=ProvisionState.DEPLOYING,
        inventory={"cpus": 8, "disks": [{"name": "sda", "size_bytes": 1 << 37}], "nics": []},
        created_at=tx.now(),
        updated_at=tx.now(),
    )


def step(node_id: str, number: int) -> Callable[[Tx], None]:
    """The transaction of one deploy step."""

    def work(tx: Tx) -> None:
        now = tx.now()
        moved = tx.update(
            Node,
            node_id,
            {
                "work": Work(
                    id="6f1c5a5e-0d0c-4a55-8a6e-3f0c9c9a7b10",
                    plan="deploy-iscsi",
                    step="write_image",
                    entered_at=now,
                    facts={"boot_id": "1f0c", "disk": "/dev/sda", "number": number},
                )
            },
            expect={"owner": "host-1", "fence": 3},
        )
        assert moved
        events = [
            TimelineEvent(
                node_id=node_id,
                instance_id="9a3d0b62-52a7-4c0e-a3a1-5b1f6c1b3a11",
                at=now,
                source="controller",
                name=name,
                step="write_image",
                text="the image was written at 113 MB/s",
                fence=3,
                detail={"number": number},
            )
            for name in ("step.done", "step.proof", "step.started")
        ]
        tx.insert(*events)
        tx.notify(f"node:{node_id}", "events")

    return work


async def measure(store: Store, tasks: int, seconds: float) -> Measured:
    ids = await store.transact(lambda tx: [found.id for found in tx.find(Node, limit=tasks)])
    numbers = itertools.count()
    worst_s = 0.0
    until = time.perf_counter() + seconds

    async def caller(node_id: str) -> int:
        nonlocal worst_s
        done = 0
        while (begin := time.perf_counter()) < until:
            await store.transact(step(node_id, next(numbers)))
            worst_s = max(worst_s, time.perf_counter() - begin)
            done += 1
        return done

    begin, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(caller(id)) for id in ids]
    done = sum(task.result() for task in callers)
    return Measured(
        done / (time.perf_counter() - begin), (time.process_time() - cpu) / done * 1e6, worst_s * 1e3
    )


async def spin(stop: asyncio.Event) -> None:
    """Keeps the loop computing, 1 ms at a time."""
    while not stop.is_set():
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


async def run(url: str, tasks: int, seconds: float) -> None:
    store, kind = open_store(url), url.partition(":")[0].partition("+")[0]
    try:
        await store.transact(lambda tx: tx.insert(*(node(i, tx) for i in range(max(tasks, 1_000)))))
        for callers in (1, tasks):
            print(
                f"{kind:10} {callers:4} callers      ",
                await measure(store, callers, seconds),
            )
        stop = asyncio.Event()
        spinner = asyncio.create_task(spin(stop))
        print(
            f"{kind:10} {tasks:4} callers, busy",
            await measure(store, tasks, seconds),
        )
        stop.set()
        await spinner
        await store.transact(lambda tx: tx.find(Node))
        begin = time.perf_counter()
        found = await store.transact(lambda tx: tx.find(Node))
        each_us = (time.perf_counter() - begin) / len(found) * 1e6
        print(f"{kind:10} reading {len(found)} nodes: {each_us:.1f} µs each")
    finally:
        await store.close()


def profiled(work: Callable[[], None]) -> None:
    profile = cProfile.Profile()
    profile.runcall(work)
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--profile", action="store_true", help="where the time goes (slower)")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(prefix="pg") as server_folder,
        PostgresServer(Path(server_folder), durable=True) as server,
    ):
        postgres = server.new_database()
        upgrade_store(postgres)
        for url in (f"sqlite:///{Path(folder) / 'store.db'}", postgres, "memory:"):

            def work(url: str = url) -> None:
                asyncio.run(run(url, given.tasks, given.seconds))

            profiled(work) if given.profile else work()


if __name__ == "__main__":
    main()

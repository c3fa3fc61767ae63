"""How soon a dead compute host is followed, and what it costs to be ready for it.

    python -m tests.benchmarks.failover [--rounds 5] [--nodes 7000] [--distance-ms 2] [--hosts 10]
                                        [--idle-nodes 10000] [--idle-s 60] [--deploys 200] [--check]

Real processes (`provisioner compute`) on racks in memory, and a PostgreSQL server of our own on a UNIX
socket, whose commits wait for the disk. Printed: from SIGKILL of a host in mid-deploy until another has taken
that deploy up; the same with many nodes, beside the server and at a distance from it; what idle hosts ask of
the server and of the processor; and how many deploys a second one, two and three hosts carry.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import NamedTuple

import httpx

from fixtures.far_socket import far_socket
from fixtures.postgres_server import PostgresServer
from provisioner.core.model import Port, TimelineEvent, Work
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.protocols.store import Store, Tx
from provisioner.store import open_store, upgrade_store
from provisioner.store.schema import shape_of
from tests.benchmarks.control_plane import phases
from tests.benchmarks.goals import Goal, exit_code, offer_check
from tests.benchmarks.store import node
from tests.unit import records
from tests.wire.control_plane.conftest import ControlPlane, Process, short_folder

GOALS = (
    Goal("takeover of few nodes", 6, "s"),
    Goal("takeover of many nodes", 6, "s"),
    Goal("all of many nodes adopted, after the lease's end", 2, "s"),
    Goal("the same at a distance from the server", 2, "s"),
    Goal("idle hosts: queries besides begin and commit", 20, "a second"),
    Goal("idle hosts: processor", 2, "% of a core", cold=True),
)

DEADLINE_S = 120.0
EVENTS = shape_of(TimelineEvent).table.name
LEASE_S = 5.0
AT_ONCE = 1000  # nodes in one transaction, which may take 10 s


class Bench:
    """A control plane on a server whose commits wait for the disk."""

    def __init__(self, server: PostgresServer, plane: ControlPlane, database: str) -> None:
        self.server = server
        self.plane = plane
        self._database = database

    def one(self, question: str) -> int:
        ((found,),) = self.server.execute(question, self._database)
        return int(str(found))

    def beat_age_s(self, host: str) -> float:
        """Since its lease was renewed last."""
        asked = f"SELECT clock_timestamp() - renewed_at::timestamptz FROM host WHERE id = '{host}'"
        ((age,),) = self.server.execute(asked, self._database)
        assert isinstance(age, timedelta)
        return age.total_seconds()

    def owned_by(self, host: str) -> int:
        return self.one(f"SELECT count(*) FROM node WHERE owner = '{host}'")

    def fill(self, nodes: int) -> None:
        """That many idle nodes that nobody owns."""

        def insert(tx: Tx, begin: int) -> None:
            tx.insert(
                *(
                    replace(
                        node(n, tx),
                        owner=None,
                        fence=0,
                        state=ProvisionState.AVAILABLE,
                        power_driver="fake",
                        power_secret_sealed="",
                    )
                    for n in range(begin, min(begin + AT_ONCE, nodes))
                )
            )

        async def fill(store: Store) -> None:
            for begin in range(0, nodes, AT_ONCE):
                await store.transact(lambda tx, begin=begin: insert(tx, begin))  # type: ignore[misc]

        self._store(fill)

    def deploy(self, name: str, owner: str) -> None:
        """To one more node of that host's, in its last step, which waits for what doesn't come."""

        def insert(tx: Tx) -> None:
            work = Work(
                id=f"work-{name}",
                plan="deploy-iscsi",
                step="instance_running",
                entered_at=tx.now(),
                facts={"starts": 1},
            )
            busy = replace(
                node(0, tx),
                id=name,
                name=name,
                owner=owner,
                fence=1,
                state=ProvisionState.DEPLOYING,
                power_driver="fake",
                power_secret_sealed="",
                instance_id=f"instance-{name}",
                work=work,
            )
            image = records.image(id=f"image-{name}", name=f"image-{name}")
            instance = records.instance(
                id=f"instance-{name}",
                name=f"instance-{name}",
                image_id=image.id,
                node_id=name,
                state=InstanceState.BUILDING,
                proof_of_life=("console:never printed",),
            )
            port = Port(id=f"mac of {name}", node_id=name, address=f"10.0.250.{name.rpartition('-')[2]}")
            tx.insert(busy, port, image, instance)
            tx.notify("work")

        self._store(lambda store: store.transact(insert))

    def taken_up(self, node: str) -> int:
        """By so many hosts, one after the other."""
        asked = f"node_id = '{node}' AND name = 'step.resumed'"
        return self.one(f"SELECT count(*) FROM {EVENTS} WHERE {asked}")

    def _store(self, use: Callable[[Store], Awaitable[None]]) -> None:
        async def opened() -> None:
            store = open_store(self.plane.database)
            try:
                await use(store)
            finally:
                await store.close()

        asyncio.run(opened())

    def host(self, name: str) -> Process:
        process = self.plane.host(name)
        process.start()
        until(f"{name} serves", lambda: self.one(f"SELECT count(*) FROM host WHERE id = '{name}'"))
        return process


class Takeover(NamedTuple):
    """From SIGKILL of one of two hosts until the other has taken up a deploy that it was at; and from the end
    of the lease that it had until then, and until all of its nodes were the other's."""

    whole_s: float
    after_s: float
    adopted_s: float


@contextmanager
def bench(distance_s: float = 0.0) -> Iterator[Bench]:
    """distance_s: what a question and its answer take on their way to the server and back."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(stack.enter_context(short_folder()), durable=True))
        url = server.new_database()
        upgrade_store(url)
        if distance_s:
            near = stack.enter_context(short_folder()) / server.socket.name
            stack.enter_context(far_socket(near, server.socket, distance_s))
            url = url.replace(str(server.socket.parent), str(near.parent))
        plane = ControlPlane(stack.enter_context(short_folder()), url)
        stack.callback(plane.close)
        yield Bench(server, plane, url.partition("?")[0].rpartition("/")[2])


def until(what: str, look: Callable[[], object]) -> float:
    """Seconds until it is so."""
    begun = time.monotonic()
    while not look():
        if time.monotonic() - begun > DEADLINE_S:
            raise SystemExit(f"not within {DEADLINE_S:.0f} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - begun


def takeovers(at: Bench, rounds: int, nodes: int) -> list[Takeover]:
    at.fill(nodes)
    killed, survivor = at.host("ch1"), at.host("ch2")
    until("all have an owner", lambda: at.one("SELECT count(*) FROM node WHERE owner IS NULL") == 0)
    took: list[Takeover] = []
    for number in range(rounds):
        until("ch1 has some of them", lambda: at.owned_by("ch1"))
        at.deploy(f"busy-{number}", "ch1")
        until("ch1 is at the deploy", lambda number=number: at.taken_up(f"busy-{number}") == 1)  # type: ignore[misc]
        time.sleep(random.uniform(1, 3))  # anywhere between two beats
        killed.signal(signal.SIGKILL)
        ends_s = LEASE_S - at.beat_age_s("ch1")
        adopted_s = until("ch2 has all of them", lambda: at.owned_by("ch1") == 0)
        resumed = until("ch2 is at the deploy", lambda number=number: at.taken_up(f"busy-{number}") == 2)  # type: ignore[misc]
        whole_s = adopted_s + resumed
        took.append(Takeover(whole_s, whole_s - ends_s, adopted_s - ends_s))
        killed.wait()
        killed.start()
    survivor.end()
    killed.end()
    return took


def deploys_a_second(at: Bench, hosts: int, nodes: int) -> float:
    """Through that many hosts, asked for by REST. Enrolling isn't counted."""
    at.plane.start()
    for number in range(1, hosts + 1):
        at.host(f"ch{number}")

    async def ask() -> float:
        transport = httpx.AsyncHTTPTransport(uds=str(at.plane.socket))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://provisioner", timeout=60
        ) as client:
            token = (at.plane.state / "admin.token").read_text().strip()
            client.headers["Authorization"] = f"Bearer {token}"
            return nodes / (await phases(client, nodes))["deploy"]

    return asyncio.run(ask())


def idle_cost(at: Bench, hosts: int, nodes: int, idle_s: float) -> tuple[float, float, float]:
    """Of that many idle hosts together: transactions a second, statements besides their begin and end, and
    cores."""
    processes = [at.host(f"ch{number}") for number in range(1, hosts + 1)]
    at.fill(nodes)  # shared out evenly: evening out afterwards is done gently, and takes long
    until("all have an owner", lambda: at.one("SELECT count(*) FROM node WHERE owner IS NULL") == 0)
    time.sleep(idle_s)  # what each serves is published
    at.server.execute("ALTER SYSTEM SET log_statement = 'all'")
    at.server.execute("SELECT pg_reload_conf()")
    time.sleep(1)
    transactions, statements, cpu_s = _transactions(at), _statements(at), sum(map(_cpu_s, processes))
    begun = time.monotonic()
    time.sleep(idle_s)
    took_s = time.monotonic() - begun
    return (
        (_transactions(at) - transactions) / took_s,
        (_statements(at) - statements) / took_s,
        (sum(map(_cpu_s, processes)) - cpu_s) / took_s,
    )


def _transactions(at: Bench) -> int:
    return at.one(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    )


def _statements(at: Bench) -> int:
    """All that the server was asked since it logs them, this question too."""
    said = at.server.log_file.read_text(errors="replace")
    begin_or_end = sum(said.count(f"LOG:  statement: {word}") for word in ("BEGIN", "COMMIT", "ROLLBACK"))
    return said.count("LOG:  statement: ") + said.count("LOG:  execute ") - begin_or_end


def _cpu_s(process: Process) -> float:
    assert process.running is not None
    fields = Path(f"/proc/{process.running.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=7000)
    parser.add_argument("--distance-ms", type=float, default=2)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--idle-nodes", type=int, default=10_000)
    parser.add_argument("--idle-s", type=float, default=60, help="seconds that idle hosts are watched for")
    parser.add_argument("--deploys", type=int, default=200, help="0: they aren't played")
    offer_check(parser)
    given = parser.parse_args()
    found: dict[str, float] = {}
    with bench() as at:
        took = takeovers(at, given.rounds, 20)
        found["takeover of few nodes"] = statistics.median(one.whole_s for one in took)
        print(f"takeover of 10 nodes:    {_told(took)}")
    with bench() as at:
        took = takeovers(at, given.rounds, given.nodes)
        found["takeover of many nodes"] = statistics.median(one.whole_s for one in took)
        found["all of many nodes adopted, after the lease's end"] = _adopted_s(took)
        print(f"takeover of {given.nodes // 2} nodes:  {_told(took)}")
    with bench(given.distance_ms / 1000) as at:
        took = takeovers(at, given.rounds, given.nodes)
        found["the same at a distance from the server"] = _adopted_s(took)
        print(f"the same, {given.distance_ms:g} ms from the server:  {_told(took)}")
    with bench() as at:
        transactions, statements, cores = idle_cost(at, given.hosts, given.idle_nodes, given.idle_s)
        found["idle hosts: queries besides begin and commit"] = statements
        found["idle hosts: processor"] = 100 * cores
        print(
            f"{given.hosts} idle hosts, {given.idle_nodes} nodes: {transactions:.1f} transactions and "
            f"{statements:.1f} statements besides begin and commit a second, {100 * cores:.1f} % of a core"
        )
    rates: dict[int, list[float]] = defaultdict(list)
    # In turn: a machine that others share is quicker in one minute than in the next.
    for _, hosts in product(range(min(given.rounds, 3)), (1, 2, 3) if given.deploys else ()):
        with bench() as at:
            rates[hosts].append(deploys_a_second(at, hosts, given.deploys))
    for hosts, seen in rates.items():
        spread = f"{min(seen):.0f} to {max(seen):.0f}"
        print(f"{hosts} hosts: {statistics.median(seen):.0f} deploys a second ({spread})")
    return exit_code(GOALS, found, check=given.check)


def _adopted_s(took: list[Takeover]) -> float:
    return statistics.median(one.adopted_s for one in took)


def _told(took: list[Takeover]) -> str:
    whole, after, adopted = (
        f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"
        for times in zip(*took, strict=True)
    )
    return f"{whole}; after the lease's end {after}, and all adopted {adopted}"


if __name__ == "__main__":
    sys.exit(main())

"""A provisioner over a rack in memory, whose process can die at any moment and start again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from provisioner.api.metrics import Metrics
from provisioner.compute.devices import Device, PowerPolicy, PowerSequencer
from provisioner.compute.edges import DeployPolicy, DeployRamdisk, Edges, RefreshPolicy
from provisioner.compute.evidence import Evidence
from provisioner.compute.host import ComputeHost
from provisioner.compute.lease import LeaseKeeper
from provisioner.compute.progress import ProgressBoard
from provisioner.core.errors import DeviceRefused
from provisioner.core.image_digest import TreeDigest
from provisioner.core.model import Host, Instance, Node, Port, TimelineEvent
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.events import WireEvent
from provisioner.protocols.power import PowerControl, PowerVerb
from provisioner.protocols.store import Tx
from provisioner.scheduler.scheduler import Scheduler
from provisioner.services.system import AWAKE_S, RandomIds
from provisioner.store.memory import MemoryStore
from tests.unit import records
from tests.unit.compute.fake_board import HELD_S, BoardRack, FakeBoard
from tests.unit.compute.one_server import OneServer

DEADLINE_S = 60.0

BMC = "10.66.0.7"
"""In the name of each power device, as errors have it."""


class OneConsole:
    """What the rack's serial consoles have said, all the same."""

    def __init__(self, said: Callable[[], str]) -> None:
        self._said = said
        self._whose: dict[str, str | None] = {}

    @asynccontextmanager
    async def recording(self, node: Node) -> AsyncIterator[None]:
        self._whose[node.id] = node.instance_id
        yield

    def position(self, node_id: str) -> int:
        return 0

    def text(self, node_id: str, *, of: str | None = None, since: int = 0, tail_bytes: int = 65536) -> str:
        return self._said() if of == self._whose[node_id] else ""


class QuickClock:
    """Fifty seconds of it pass in one of ours: the pauses between retries are not what is tested."""

    def monotonic_s(self) -> float:
        return time.monotonic() * 50

    async def sleep(self, duration_s: float) -> None:
        end_s = self.monotonic_s() + duration_s  # a test may suspend the machine
        await asyncio.sleep(min(duration_s, AWAKE_S) / 50)
        while (left_s := end_s - self.monotonic_s()) > 0:
            await asyncio.sleep(min(left_s, AWAKE_S) / 50)


class Refusing:
    """A power device that says no to everything."""

    longest_command_s = 1.0

    async def power_state(self) -> PowerState:
        raise DeviceRefused("ask for the power", device=f"BMC {BMC}", answer="0xd4")

    async def set_power(self, verb: PowerVerb) -> None:
        raise DeviceRefused("set the power", device=f"BMC {BMC}", answer="0xd4")


class NeverAnswers:
    """A power device that takes everything, and its time."""

    longest_command_s = 1.0
    told = asyncio.Event()

    async def power_state(self) -> PowerState:
        self.told.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing sets it")

    async def set_power(self, verb: PowerVerb) -> None:
        await self.power_state()


class FakeWorld:
    """The store and the machines live on; the provisioner's processes come and go, mostly one."""

    node_url = "http://10.77.0.10:8080"
    """Where those that start next are for nodes."""

    longest_command_s = 1.0
    """Of power devices, as those that start next take it."""

    poll_s = 2.0
    """Of our seconds: how often they look at the store when no wake-up comes."""

    def __init__(
        self,
        folder: Path,
        *,
        boot_s: float = 0.0,
        refresh_s: float = 0.0,
        boot_deadline_s: float = 10.0,
        running_deadline_s: float = 25.0,
    ) -> None:
        """boot_s: what a machine takes from its power to its running system.
        boot_deadline_s: of those that start next.
        refresh_s: how often idle nodes' power is asked for; 0: never."""
        self.broken: set[object] = set()  # names of nodes whose power device refuses; or its address
        self.silent: set[str] = set()  # and of those whose power device never answers
        self.boot_deadline_s = boot_deadline_s
        self._running_deadline_s = running_deadline_s
        self._refresh = RefreshPolicy(interval_s=refresh_s, at_once=2)
        self.store = MemoryStore(lambda: records.NOW)
        self.ids = RandomIds()
        self.metrics = Metrics()
        self.console = ""
        self.consoles: dict[str, ConsoleBook] = {}
        """By host; of the others all say `console`."""
        self.clock = QuickClock()
        self._sinks: dict[str, Evidence] = {}  # by host
        self.servers: dict[str, str] = {}  # by node
        self.overlaps: list[str] = []
        self.rack = BoardRack(self._hear, self.ids, delay_s=boot_s)
        self.board = FakeBoard(self.rack)
        self._blob = folder / "image.raw"
        self._blob.write_bytes(bytes(2**20))
        self._processes: dict[str, asyncio.Task[None]] = {}
        self._publishers: dict[str, OneServer] = {}
        self.hosts: dict[str, ComputeHost] = {}

    def _hear(self, event: WireEvent) -> None:
        """Whoever serves the node hears what it does."""
        evidence = self._sinks.get(self.servers.get(event.node_id, ""))
        if evidence is not None:
            evidence(event)

    async def fill(self, **changes: Any) -> None:
        """One available node, changed so, and one image."""
        digest = TreeDigest()
        digest.update(self._blob.read_bytes())
        size = self._blob.stat().st_size
        image = records.image(virtual_size_bytes=size, size_bytes=size, tree_digest=digest.hexdigest())
        kernel, ramdisk = records.image(id="image-k", name="k"), records.image(id="image-r", name="r")
        node = records.node(owner=None, power_driver="fake", **changes)
        port = Port(id="52:54:00:77:00:01", node_id=node.id, address="10.77.0.101")
        await self.store.transact(lambda tx: tx.insert(node, port, image, kernel, ramdisk))

    async def enrol(self, number: int, **changes: Any) -> None:
        """One more node."""
        node = records.node(
            id=f"node-{number}", name=f"n{number}", owner=None, power_driver="fake", **changes
        )
        port = Port(id=f"52:54:00:77:00:0{number}", node_id=node.id, address=f"10.77.0.10{number}")
        await self.store.transact(lambda tx: tx.insert(node, port))

    def lose_boot(self) -> None:
        """The machine is on, and found nothing to boot."""
        machine = self.rack.machine("n1")
        machine.agent = None
        if machine.starting is not None:
            machine.starting.cancel()
            machine.starting = None

    async def ask(self, **changes: Any) -> None:
        await self.store.transact(lambda tx: (tx.insert(records.instance(**changes)), tx.notify("instances")))

    async def delete(self) -> None:
        def ask(tx: Tx) -> None:
            tx.update(Instance, "instance-1", {"delete_requested": True, "state": InstanceState.DELETING})
            tx.notify("instances", "work")

        await self.store.transact(ask)

    def start(self, host: str = "host", *, drain_s: float = 30.0) -> None:
        """A new process: nothing in its memory but what it reads from the store."""
        self._processes[host] = asyncio.create_task(self._run(host, drain_s))

    async def die(self, host: str = "host") -> None:
        """The process is gone between two instructions; whatever it had begun is left as it was."""
        process = self._processes.pop(host)
        self._publishers[host].killed = True
        process.cancel()
        await asyncio.gather(process, return_exceptions=True)

    async def end(self) -> None:
        for host in list(self._processes):
            await self.die(host)

    async def ends(self, host: str = "host") -> None:
        """By itself, and well."""
        async with asyncio.timeout(DEADLINE_S):
            await self._processes.pop(host)

    async def _run(self, host: str, drain_s: float) -> None:
        try:
            self.hosts[host] = served = ComputeHost(self.edges(host, drain_s=drain_s))
            async with asyncio.TaskGroup() as group:
                scheduling = group.create_task(Scheduler(self.store, self.clock, self.ids).run())
                await served.run()
                scheduling.cancel()
        finally:
            self._sinks.pop(host, None)
            self.hosts.pop(host, None)
            for node_id in [node_id for node_id, server in self.servers.items() if server == host]:
                del self.servers[node_id]

    async def edges_with_lease(self) -> Edges:
        """Of one part of a process alone, whose host it has the lease of."""
        edges = self.edges()
        await edges.lease.acquire()
        return edges

    def edges(self, host: str = "host", *, drain_s: float = 30.0) -> Edges:
        """Of a new process."""
        self._sinks[host] = evidence = Evidence(self.store, self.clock)
        self._publishers[host] = publisher = OneServer(self.rack, host, self.servers, self.overlaps)
        longest_s = self.longest_command_s
        lease = LeaseKeeper(self.store, self.clock, host, 3600.0, holder=host, longest_command_s=longest_s)
        power = PowerSequencer(lease, self.clock, PowerPolicy(poll_s=0.001))
        return Edges(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            lease=lease,
            evidence=evidence,
            power=power,
            device=lambda node: Device(f"BMC {BMC} of node {node.name}", self._power(node)),
            publisher=publisher,
            writer=self.rack.writer(),
            roots=self.rack.roots,
            agent=lambda node, address, token: self.rack.agent(node.id, token, node.fence),
            blob=lambda sha256: self._blob,
            ramdisk=lambda arch: DeployRamdisk(kernel=self._blob, ramdisk=self._blob, digest=""),
            seal=lambda text: text[::-1],
            unseal=lambda text: text[::-1],
            consoles=self.consoles.get(host) or OneConsole(lambda: self.console),
            probe=self.board,
            ping=self.board,
            monitor=self.board,
            progress=ProgressBoard(),
            meter=self.metrics,
            policy=DeployPolicy(
                agent_poll_s=0.01,
                agent_patience_s=2.5,
                boot_deadline_s=self.boot_deadline_s,
                resumed_deadline_s=5,
                running_deadline_s=self._running_deadline_s,
            ),
            node_url=self.node_url,
            initiator_address="10.77.0.10",
            netmask="255.255.255.0",
            write_turns=asyncio.Semaphore(4),
            refresh=self._refresh,
            poll_s=self.poll_s,
            drain_s=drain_s,
        )

    def _power(self, node: Node) -> PowerControl:
        if node.name in self.silent:
            return NeverAnswers()
        broken = {node.name, node.power_address.get("address")} & self.broken
        return Refusing() if broken else self.rack.power(node.name, {}, {})

    async def change_host(self, host: str, **changes: Any) -> None:
        """As an operator does."""
        await self.store.transact(lambda tx: (tx.update(Host, host, changes), tx.notify("hosts")))

    async def shares(self) -> dict[str | None, list[str]]:
        """By owner, the names of its nodes."""
        nodes = await self.store.transact(lambda tx: tx.find(Node))
        owners = sorted({node.owner for node in nodes}, key=str)
        return {owner: sorted(node.name for node in nodes if node.owner == owner) for owner in owners}

    async def node(self, number: int = 1) -> Node:
        found = await self.store.transact(lambda tx: tx.get(Node, f"node-{number}"))
        assert found is not None
        return found

    async def instance(self) -> Instance:
        found = await self.store.transact(lambda tx: tx.get(Instance, "instance-1"))
        assert found is not None
        return found

    async def events(self) -> list[TimelineEvent]:
        return await self.store.transact(lambda tx: tx.find(TimelineEvent))

    async def until(self, what: str, look: Callable[[], Awaitable[bool]]) -> None:
        """Polls until `look` says yes; fails naming `what`."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not await look():
                    await asyncio.sleep(0.001)
        except TimeoutError:
            node, instance = await self.node(), await self.instance()
            told = "\n".join(f"{e.name} {e.step} {e.text}" for e in (await self.events())[-15:])
            raise AssertionError(
                f"not in time: {what}; {node.state} {node.work} {instance.state}\n{told}"
            ) from None

    async def comes_to(self, step: str, *, times: int = 1) -> None:
        """Until the node's work has come to `step`, so many times."""

        async def there() -> bool:
            entered = [
                event
                for event in await self.events()
                if event.step == step and event.name in ("step.started", "step.resumed")
            ]
            return len(entered) >= times

        await self.until(f"step {step}", there)

    async def becomes(self, state: ProvisionState, number: int = 1) -> None:
        async def there() -> bool:
            return (await self.node(number)).state is state

        await self.until(f"node {state}", there)


PATIENT = {"boot_s": HELD_S, "boot_deadline_s": 250.0}
"""However late this process sees that a boot has begun."""


def play(
    folder: Path,
    story: Callable[[FakeWorld], Awaitable[None]],
    *,
    boot_s: float = 0.0,
    boot_deadline_s: float = 10.0,
    running_deadline_s: float = 25.0,
    **node: Any,
) -> None:
    """A story from a running provisioner on. node: what differs of the node."""

    async def run() -> None:
        world = FakeWorld(
            folder,
            boot_s=boot_s,
            boot_deadline_s=boot_deadline_s,
            running_deadline_s=running_deadline_s,
        )
        await world.fill(**node)
        world.start()
        try:
            await story(world)
        finally:
            await world.end()

    asyncio.run(run())

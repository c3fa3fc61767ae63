"""A story's rack and provisioner in one process, in virtual time."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from provisioner.api.credentials import hash_token
from provisioner.api.metrics import Metrics
from provisioner.core.model import DEFAULT_TENANT, ApiToken, ImageKind, Node, User
from provisioner.core.roles import Role
from provisioner.drivers.ipmi import LONGEST_COMMAND_S
from provisioner.store.memory import MemoryStore
from scenarios.runner.last_wipes import LastWipes
from scenarios.runner.model import asgi
from scenarios.runner.model.agent_client import ModelAgentClient
from scenarios.runner.model.agent_commands import EDGE_BYTES, TABLE_BYTES, around
from scenarios.runner.model.children import ModelChildren
from scenarios.runner.model.consoles import ModelConsoles, ModelPingProbe, ModelSshProbe
from scenarios.runner.model.contents import LIBRARY, MIB, ImageServer, orders
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.image_writer import ModelImageWriter
from scenarios.runner.model.ipmitool import ModelIpmitool
from scenarios.runner.model.provisioner_process import (
    LEASE_TTL_ALONE_S,
    LEASE_TTL_S,
    TILE_COMMAND_S,
    TILE_LEASE_TTL_S,
    Surroundings,
)
from scenarios.runner.model.rack import ModelRack
from scenarios.runner.model.roots import ModelRoots, SharedRoots
from scenarios.runner.model.snmp import ModelSnmp
from scenarios.runner.model.store_link import StoreLink
from scenarios.runner.model.striking import Striking
from scenarios.runner.model.telling import Telling
from scenarios.runner.model.tile_monitor import ModelTileMonitor
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.model.world_time import SeededIds, WorldClock, chance
from scenarios.runner.processes import ProcessDied
from scenarios.runner.stage import TRY_LATER, Answer, DiskTruth, Fidelity, NoAnswer, Order
from scenarios.runner.story import Story, StoryHost
from scenarios.runner.trace import Trace

ANSWER_S = 3600.0
RETRY_S, LONGEST_RETRY_S = 0.5, 8.0
ADMIN_TOKEN = "0" * 31 + "1"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFl1bGV0aWRlIHRlc3Qga2V5IG9mIHRoZSBtb2RlbCEh lab"

ID_CHARS = 32
SECRET = re.compile(rf"[0-9a-f]{{{ID_CHARS},}}|correct-horse-\d+")
"""What a secret of a story looks like, or stands in: `SeededIds`, and the passwords of its BMCs and PDUs."""

ENCODED, HEXADECIMAL = re.compile("[A-Za-z0-9+/]{24,}"), re.compile("[0-9a-fA-F]{24,}")
"""What one may stand in, in base64 or as numbers."""

ROOT_OFFSET_BYTES = MIB


class ModelStage:
    """`scenarios.runner.stage.Stage` and `invariants.Look`. Made inside a running VirtualLoop."""

    fidelity = Fidelity.MODEL
    public_key = PUBLIC_KEY

    def __init__(self, story: Story, seed: int, trace: Trace) -> None:
        self.trace = trace
        self._story = story
        self._seed = seed
        self._loop = asyncio.get_running_loop()
        self._clock = WorldClock(self._loop)
        self._telling = telling = Telling(trace, self._loop.time, self._tell)
        self._store = MemoryStore(self._clock.wall, telling.changed)
        self._images = ImageServer(telling.image_struck)
        self._metrics = Metrics()
        self._wires = Wires(chance(seed, "wires"), telling.wire_struck)
        self._hosts: dict[str, ModelHost] = {}
        self._roots = SharedRoots()
        self._rack = ModelRack(
            *(story, self._wires, lambda: tuple(self._hosts.values()), self._images, telling.note, seed),
            self._roots,
        )
        self._by_nfs = {node.name for node in story.nodes if node.by_nfs}
        for host in story.hosts:
            self._hosts[host.name] = ModelHost(
                host.name, self._surroundings(host), telling.host_event, telling.host_struck
            )
        has_tiles = any(node.is_tile for node in story.nodes)
        self._lease_ttl_s = TILE_LEASE_TTL_S if has_tiles else LEASE_TTL_S
        self._longest_command_s = TILE_COMMAND_S if has_tiles else LONGEST_COMMAND_S
        self._striking = Striking(
            self._rack,
            self._wires,
            self._hosts,
            self._images,
            story.images,
            self._clock,
            seed,
            telling.host_struck,
        )
        self._secrets = {
            ADMIN_TOKEN,
            *(node.bmc_password for node in story.nodes),
            *(pdu.community for pdu in story.pdus),
        }
        self._macs = {node.name: node.mac for node in story.nodes}
        self._ids: list[SeededIds] = []
        self._offending: list[tuple[str, str]] = []
        self._last_wipes = LastWipes(story)
        self.trace.listen(self._last_wipes.see)

    async def begin(self) -> None:
        """The provisioner runs; its client has a token."""
        now = self._clock.wall()
        admin = User(id="admin", tenant=DEFAULT_TENANT, role=Role.ADMIN, created_at=now)
        token = ApiToken(
            id=hash_token(ADMIN_TOKEN), name="admin", user_id=admin.id, role=Role.ADMIN, created_at=now
        )
        await self._store.transact(lambda tx: tx.insert(admin, token))
        for host in self._hosts.values():
            host.start()

    def _surroundings(self, host: StoryHost) -> Callable[[str, ModelChildren], Surroundings]:
        return lambda sender, children: self._around(host, sender, children)

    def _around(self, host: StoryHost, sender: str, children: ModelChildren) -> Surroundings:
        ids = SeededIds(chance(self._seed, f"ids of {sender}"))
        self._ids.append(ids)
        rack, alone = self._rack, len(self._story.hosts) == 1
        disk = self._hosts[host.name].disk

        def agent(node: Node, address: str, token: str) -> ModelAgentClient:
            link = Link("agent", host.name, node.name)
            return ModelAgentClient(self._wires, rack, link, address, token, node.fence, sender, ids)

        def link_to(protocol: str, address: str) -> Link:
            return Link(protocol, host.name, rack.name_at(address))

        first = IPv4Address("10.96.0.1")
        return Surroundings(
            host=host.name,
            address=host.address,
            lease_ttl_s=LEASE_TTL_ALONE_S if alone else self._lease_ttl_s,
            longest_command_s=self._longest_command_s,
            store=StoreLink(self._store, self._wires, host.name, disk if alone else None),
            disk=disk,
            clock=self._clock,
            ids=ids,
            children=children,
            images=self._images,
            ipmitool=ModelIpmitool(children, host.name, sender, self._wires, rack.bmc_at),
            snmp=ModelSnmp(host.name, sender, self._wires, rack.feeds.pdu_at),
            chance=chance(self._seed, f"pauses of {sender}").random,
            writer=ModelImageWriter(
                children,
                self._wires,
                rack,
                lambda address: link_to("iscsi", address),
                self._images.content_at,
                sender,
                self._telling.note,
            ),
            roots=ModelRoots(self._roots, self._images.content_at),
            probe=ModelSshProbe(self._wires, lambda address: link_to("ssh", address), rack.serves_ssh),
            ping=ModelPingProbe(self._wires, lambda address: link_to("icmp", address), rack.pings_at),
            tile_monitor=ModelTileMonitor(
                children,
                self._wires,
                lambda address: link_to("monitor", address),
                rack.tile_at,
                sender,
            ),
            consoles=ModelConsoles(
                lambda node_id: rack.printed(self._telling.node_name(node_id)),
                self._hosts[host.name].console_files,
            ),
            agent=agent,
            metrics=self._metrics,
            pool=(first, first + max(254, 2 * len(self._story.nodes))),
        )

    # --- Stage ---------------------------------------------------------------------------------

    def now_s(self) -> float:
        return self._loop.time()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)

    async def news(self, name: str) -> None:
        await self._telling.news(name)

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        since_s, pause_s = self.now_s(), RETRY_S
        end_s = since_s + ANSWER_S
        while self.now_s() < end_s:
            for host in self._hosts.values():
                app = host.provisioner.app if host.provisioner is not None else None
                if app is None or host.process is None or not host.process.alive:
                    continue
                try:
                    async with asyncio.timeout_at(end_s) as limit:
                        answer, text = await host.process.call(
                            asgi.call(app, method, path, body, token=ADMIN_TOKEN, key=key)
                        )
                except ProcessDied:
                    continue
                except TimeoutError:
                    if not limit.expired():
                        raise
                    break
                self._tell(f"the answer to {method} {path}", text)
                if answer.status not in TRY_LATER:
                    return answer
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)
        raise NoAnswer(f"no answer to {method} {path} for {ANSWER_S:.0f} s", since_s)

    def image_orders(self, name: str) -> Sequence[Mapping[str, Any]]:
        return orders(name)

    def owner(self, node: str) -> str:
        return self._telling.owner(node)

    async def inject(self, order: Order) -> None:
        self._striking.inject(order)

    async def heal(self, order: Order) -> None:
        self._striking.heal(order)

    async def settled(self) -> None:
        """Nothing is in the way of looking: the lab sees disks at any time."""

    # --- Look ----------------------------------------------------------------------------------

    def disk(self, node: str) -> DiskTruth:
        """Of a node without one of its own, its root by NFS."""
        on_disk = self._on_disk(node)
        if node not in self._by_nfs:
            return on_disk
        roots = self._roots.of_node(self._telling.node_id(node))
        return DiskTruth(image=roots[-1].image if roots else "", blank=on_disk.blank and not roots)

    def blank(self, node: str) -> bool | None:
        return self.disk(node).blank

    def _on_disk(self, node: str) -> DiskTruth:
        disk = self._rack.node(node).disk
        image = next((name for name in self._story.images if self._holds(node, name)), "")
        edge = min(EDGE_BYTES, disk.size_bytes)
        everywhere = self._last_wipes.everywhere(node)
        spans = [(0, disk.size_bytes)] if everywhere else [(0, edge), (disk.size_bytes - edge, edge)]
        blank = all(disk.holds(offset, length, "") for offset, length in spans)
        machine = self._rack.node(node)
        return DiskTruth(image=image, blank=blank, around=around(disk, machine.drives) if image else None)

    def _holds(self, node: str, name: str) -> bool:
        """Of a whole disk's image, all but the table that the agent made to fit the disk."""
        disk, content = self._rack.node(node).disk, LIBRARY[name]
        size = content.virtual_size_bytes
        if content.kind is ImageKind.ROOT:
            return ROOT_OFFSET_BYTES + size <= disk.size_bytes and disk.holds(ROOT_OFFSET_BYTES, size, name)
        return size <= disk.size_bytes and disk.holds(TABLE_BYTES, size - TABLE_BYTES, name, TABLE_BYTES)

    def running(self, node: str) -> str | None:
        return self._rack.node(node).system.image

    def ran(self, node: str) -> Sequence[str]:
        """The model can tell at any time."""
        return ()

    def served(self, node: str) -> str | None:
        mac = self._macs[node]
        boots = (host.netboot.served(mac) for host in self._hosts.values() if host.netboot is not None)
        return next((boot for boot in boots if boot), "")

    def secrets(self) -> Iterable[str]:
        return self._known_secrets()

    def told(self) -> Iterable[tuple[str, str]]:
        return self._offending

    def log(self, text: str) -> None:
        """A line of the provisioner's log."""
        self._tell("the provisioner's log", text)

    def _tell(self, where: str, text: str) -> None:
        """Kept only if a secret stands in it: a large rack tells gigabytes."""
        words = SECRET.findall(text)
        for encoded in ENCODED.findall(text):
            for plain in _decoded(encoded):
                words += SECRET.findall(plain)
        if words and not self._known_secrets().isdisjoint(_parts(words)):
            self._offending.append((where, text))

    def _known_secrets(self) -> set[str]:
        for ids in self._ids:
            self._secrets.update(ids.secrets)
            ids.secrets.clear()
        return self._secrets


def _parts(words: Iterable[str]) -> Iterator[str]:
    """The words, and of longer ones each part that is as long as a secret."""
    for word in words:
        yield word
        yield from (word[at : at + ID_CHARS] for at in range(len(word) - ID_CHARS + 1))


def _decoded(encoded: str) -> Iterator[str]:
    """What it may be base64 of, wherever that begins in it, or hexadecimal."""
    for begin in range(4):
        base64 = encoded[begin:]
        if len(base64) % 4 == 1:
            base64 = base64[:-1]
        yield b64decode(base64 + "=" * (-len(base64) % 4)).decode("latin-1")
    for run in HEXADECIMAL.findall(encoded):
        yield from (bytes.fromhex(run[at : at + (len(run) - at) // 2 * 2]).decode("latin-1") for at in (0, 1))

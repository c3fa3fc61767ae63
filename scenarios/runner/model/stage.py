"""A story's rack and provisioner in one process, in virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from provisioner.api.context import hash_token
from provisioner.api.metrics import Metrics
from provisioner.core.model import ApiToken, ImageKind, Instance, Node, Record, TimelineEvent
from provisioner.store.memory import MemoryStore
from scenarios.runner.model import asgi
from scenarios.runner.model.agent import EDGE_BYTES, TABLE_BYTES
from scenarios.runner.model.agent_client import ModelAgentClient
from scenarios.runner.model.consoles import ModelConsoles, ModelSshProbe
from scenarios.runner.model.contents import LIBRARY, MIB, ImageServer
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.image_writer import ModelImageWriter
from scenarios.runner.model.ipmitool import ModelIpmitool
from scenarios.runner.model.provisioner_process import Surroundings
from scenarios.runner.model.rack import ModelRack
from scenarios.runner.model.striking import Striking
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.model.world_time import SeededIds, WorldClock, chance
from scenarios.runner.processes import ProcessDied
from scenarios.runner.stage import Answer, DiskTruth, Fidelity, LabTrouble, Order
from scenarios.runner.story import Deploy, Story, StoryHost
from scenarios.runner.trace import Event, Origin, Trace

ANSWER_S = 3600.0
RETRY_S = 0.5
NEWS_S = 300.0
"""Nobody waits longer without looking: two who wait for one thing may take the news from each other."""

ADMIN_TOKEN = "0" * 31 + "1"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFl1bGV0aWRlIHRlc3Qga2V5IG9mIHRoZSBtb2RlbCEh lab"

SECRET = re.compile(r"[0-9a-f]{32}|correct-horse-\d+")
"""What a secret of a story looks like: `SeededIds`, and the passwords of its BMCs."""

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
        self._store = MemoryStore(self._clock.wall, self._changed)
        self._images = ImageServer(self._image_struck)
        self._metrics = Metrics()
        self._wires = Wires(chance(seed, "wires"), self._wire_struck)
        self._hosts: dict[str, ModelHost] = {}
        self._rack = ModelRack(
            story, self._wires, lambda: tuple(self._hosts.values()), self._images, self.note, seed
        )
        for host in story.hosts:
            self._hosts[host.name] = ModelHost(host.name, self._surroundings(host), self._host_event)
        self._striking = Striking(
            self._rack,
            self._wires,
            self._hosts,
            self._images,
            story.images,
            self._clock,
            seed,
            self._host_struck,
        )
        self._secrets = {node.bmc_password for node in story.nodes} | {ADMIN_TOKEN}
        self._macs = {node.name: node.mac for node in story.nodes}
        self._ids: list[SeededIds] = []
        self._offending: list[tuple[str, str]] = []
        self._owners: dict[str, str] = {}
        self._node_names: dict[str, str] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._wipes = {one.instance: one.wipe for one in story.requests if isinstance(one, Deploy)}
        self._last_wipe: dict[str, str] = {}
        self.trace.listen(self._follow_wipes)

    async def begin(self) -> None:
        """The provisioner runs; its client has a token."""
        token = ApiToken(id=hash_token(ADMIN_TOKEN), name="admin", created_at=self._clock.wall())
        await self._store.transact(lambda tx: tx.insert(token))
        for host in self._hosts.values():
            host.start()

    def _surroundings(self, host: StoryHost) -> Callable[[str], Surroundings]:
        return lambda sender: self._around(host, sender)

    def _around(self, host: StoryHost, sender: str) -> Surroundings:
        ids = SeededIds(chance(self._seed, f"ids of {sender}"))
        self._ids.append(ids)
        rack = self._rack

        def agent(node: Node, address: str, token: str) -> ModelAgentClient:
            link = Link("agent", host.name, node.name)
            return ModelAgentClient(self._wires, rack, link, address, token, node.fence, sender, ids)

        def link_to(protocol: str, address: str) -> Link:
            return Link(protocol, host.name, rack.name_at(address))

        first = IPv4Address("10.96.0.1")
        return Surroundings(
            host=host.name,
            address=host.address,
            store=self._store,
            clock=self._clock,
            ids=ids,
            images=self._images,
            ipmitool=ModelIpmitool(host.name, sender, self._wires, rack.bmc_at),
            writer=ModelImageWriter(
                self._wires,
                rack,
                lambda address: link_to("iscsi", address),
                self._images.content_at,
                sender,
                self.note,
            ),
            probe=ModelSshProbe(self._wires, lambda address: link_to("ssh", address), rack.serves_ssh),
            consoles=ModelConsoles(lambda node_id: rack.printed(self._node_names.get(node_id, ""))),
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
        event = self._news.setdefault(name, asyncio.Event())
        try:
            async with asyncio.timeout(NEWS_S):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        end_s = self.now_s() + ANSWER_S
        while self.now_s() < end_s:
            for host in self._hosts.values():
                app = host.provisioner.app if host.provisioner is not None else None
                if app is None or host.process is None or not host.process.alive:
                    continue
                try:
                    answer, text = await host.process.call(
                        asgi.call(app, method, path, body, token=ADMIN_TOKEN, key=key)
                    )
                except ProcessDied:
                    continue
                self._tell(f"the answer to {method} {path}", text)
                return answer
            await asyncio.sleep(RETRY_S)
        raise LabTrouble(f"no answer to {method} {path} for {ANSWER_S:.0f} s")

    def image_orders(self, name: str) -> Sequence[Mapping[str, Any]]:
        content = LIBRARY[name]
        parts = [LIBRARY[part] for part in (content.kernel, content.ramdisk) if part]
        orders: list[Mapping[str, Any]] = [_order(part.name, part.kind) for part in parts]
        boot = {"kernel_id": content.kernel, "ramdisk_id": content.ramdisk} if parts else {}
        return [*orders, _order(name, content.kind) | boot]

    def owner(self, node: str) -> str:
        return self._owners.get(node, "")

    async def inject(self, order: Order) -> None:
        self._striking.inject(order)

    async def heal(self, order: Order) -> None:
        self._striking.heal(order)

    async def settled(self) -> None:
        """Nothing is in the way of looking: the lab sees disks at any time."""

    # --- Look ----------------------------------------------------------------------------------

    def disk(self, node: str) -> DiskTruth | None:
        disk = self._rack.node(node).disk
        image = next((name for name in self._story.images if self._holds(node, name)), "")
        everywhere = self._last_wipe.get(node) == "full"
        edge = min(EDGE_BYTES, disk.size_bytes)
        spans = [(0, disk.size_bytes)] if everywhere else [(0, edge), (disk.size_bytes - edge, edge)]
        blank = all(disk.holds(offset, length, "") for offset, length in spans)
        return DiskTruth(image=image, blank=blank)

    def _holds(self, node: str, name: str) -> bool:
        """Of a whole disk's image, all but the table that the agent made to fit the disk."""
        disk, content = self._rack.node(node).disk, LIBRARY[name]
        size = content.virtual_size_bytes
        if content.kind is ImageKind.ROOT:
            return ROOT_OFFSET_BYTES + size <= disk.size_bytes and disk.holds(ROOT_OFFSET_BYTES, size, name)
        return size <= disk.size_bytes and disk.holds(TABLE_BYTES, size - TABLE_BYTES, name, TABLE_BYTES)

    def running(self, node: str) -> str | None:
        return self._rack.node(node).running_image

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
        if words and not self._known_secrets().isdisjoint(words):
            self._offending.append((where, text))

    def _known_secrets(self) -> set[str]:
        for ids in self._ids:
            self._secrets.update(ids.secrets)
            ids.secrets.clear()
        return self._secrets

    # --- the trace -----------------------------------------------------------------------------

    def note(self, node: str, source: str, name: str, sender: str = "", **detail: Any) -> None:
        """What a device saw."""
        self._add(Origin.DEVICE, source, name, node, sender, detail)

    def _add(
        self, origin: Origin, source: str, name: str, node: str, sender: str, detail: Mapping[str, Any]
    ) -> None:
        self.trace.add(
            Event(
                t_s=self.now_s(),
                origin=origin,
                source=source,
                name=name,
                node=node,
                sender=sender,
                detail=detail,
            )
        )

    def _host_event(self, host: str, name: str) -> None:
        self._add(Origin.STAGE, "host", name, "", host, {"host": host})

    def _host_struck(self, fault: str, host: str) -> None:
        self._add(Origin.STAGE, "fault", "struck", "", host, {"fault": fault})

    def _image_struck(self, fault: str, image: str) -> None:
        self._add(Origin.STAGE, "fault", "struck", "", "", {"fault": fault, "image": image})

    def _wire_struck(self, fault: str, link: Link, what: str) -> None:
        detail = {"fault": fault, "protocol": link.protocol, "what": what}
        self._add(Origin.STAGE, "fault", "struck", link.node, link.host, detail)

    def _changed(self, before: Record | None, after: Record | None) -> None:
        match after:
            case TimelineEvent():
                self._timeline(after)
            case Node():
                self._node_changed(before, after)
            case Instance():
                self._wake(after.name)
                if not isinstance(before, Instance) or before.state is not after.state:
                    node = self._node_names.get(after.node_id or "", "")
                    detail = {"instance": after.name, "state": str(after.state)}
                    self._add(Origin.PROVISIONER, "instance", "state", node, "", detail)
            case None:
                pass
            case _:
                self._wake(getattr(after, "name", ""))

    def _node_changed(self, before: Record | None, after: Node) -> None:
        self._node_names[after.id] = after.name
        if not isinstance(before, Node) or before.state is not after.state:
            self._add(Origin.PROVISIONER, "node", "state", after.name, "", {"state": str(after.state)})
            self._wake(after.name)
        if not isinstance(before, Node) or before.owner != after.owner:
            self._owners[after.name] = after.owner or ""
            self._add(Origin.PROVISIONER, "lease", "owner", after.name, "", {"owner": after.owner or ""})

    def _timeline(self, event: TimelineEvent) -> None:
        if event.name.startswith("step."):
            detail = {"step": event.step, "text": event.text}
            node = self._node_names.get(event.node_id, "")
            self._add(Origin.PROVISIONER, "step", event.name, node, "", detail)
        self._tell("a timeline", f"{event.text} {dict(event.detail)}" if event.detail else event.text)

    def _wake(self, name: str) -> None:
        if event := self._news.get(name):
            event.set()

    def _follow_wipes(self, event: Event) -> None:
        if event.source != "client" or event.name != "instance" or not event.node:
            return
        # One that is deleted before it had a machine names the node that it was asked for.
        if event.detail["state"] not in ("requested", "deleted"):
            self._last_wipe[event.node] = self._wipes.get(event.detail["instance"], "quick")


def _order(name: str, kind: ImageKind) -> dict[str, Any]:
    return {
        "name": name,
        "kind": str(kind),
        "sha256": LIBRARY[name].sha256,
        "url": f"http://images.test/{name}",
    }

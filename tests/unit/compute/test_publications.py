"""What a host serves to its nodes, from when it owns them until it doesn't."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from provisioner.compute.publications import AT_ONCE, Publications
from provisioner.compute.worker import Worker
from provisioner.core.errors import PermanentError, StorageFull, TransientError
from provisioner.core.model import Node, Publication, PublicationKind, Work
from provisioner.core.states import ProvisionState
from provisioner.drivers.fake import FakePublisher
from provisioner.protocols.boot import BootEntry
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld, play
from tests.unit.compute.one_server import OneServer


class NotingPublisher(FakePublisher):
    """What it was told, and how many publications were under way at once."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(world.rack)
        self.published: list[str] = []
        self.withdrawn: list[tuple[str, bool]] = []
        self.most_at_once = self._now = 0
        self.exported: dict[str, str] = {}

    async def publish(self, entry: BootEntry) -> None:
        self.published.append(entry.node_id)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        if entry.nfs_root is not None:
            self.exported[entry.node_id] = entry.nfs_root.name
        await super().publish(entry)

    async def withdraw(self, node_id: str, *, root: bool = True) -> None:
        self.withdrawn.append((node_id, root))
        if root:
            self.exported.pop(node_id, None)

    def roots(self) -> Mapping[str, str]:
        return self.exported


async def publications(world: FakeWorld) -> tuple[Publications, NotingPublisher]:
    publisher = NotingPublisher(world)
    return Publications(replace(await world.edges_with_lease(), publisher=publisher)), publisher


def test_many_nodes_are_published_together_those_that_are_waited_for_first(tmp_path: Path) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        ids = [f"node-{number:04}" for number in range(2 * AT_ONCE + 10)]
        nodes = [records.node(id=id, name=f"n-{id}", owner="host") for id in ids]
        await world.store.transact(lambda tx: tx.insert(*nodes))
        published, publisher = await publications(world)
        await published.follow(ids, first=ids[-2:], busy=set(), thoroughly=True)
        assert publisher.published == [*ids[-2:], *ids[:-2]]
        assert publisher.most_at_once == AT_ONCE
        assert len(published) == len(ids)

    asyncio.run(story())


def test_without_a_lease_all_is_withdrawn_but_the_roots_that_machines_live_on(tmp_path: Path) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        root = Publication(kind=PublicationKind.INSTANCE, kernel="k", root="node-1.1.a")
        await world.fill(publication=root)
        await world.enrol(2, publication=replace(root, root="node-2.1.a"))
        world.rack.roots.folders |= {"node-1.1.a": {}, "node-2.1.a": {}}
        published, publisher = await publications(world)
        await published.follow(["node-1", "node-2"], first=(), busy=set(), thoroughly=True)
        await published.withdraw_all()
        published.forget()
        assert publisher.withdrawn == [("node-1", False), ("node-2", False)]
        assert len(published) == 0

        # Others have them now. One runs on; of the other nothing is left that lives on its root.
        publisher.withdrawn.clear()
        await published.follow([], first=(), busy=set(), thoroughly=True)
        assert publisher.withdrawn == []
        await world.store.transact(lambda tx: tx.update(Node, "node-2", {"publication": Publication()}))
        await published.follow([], first=(), busy=set(), thoroughly=True)
        assert publisher.withdrawn == [("node-2", True)]

    asyncio.run(story())


@pytest.mark.parametrize("lost", ["before", "meanwhile"])
def test_nothing_is_published_without_a_lease(lost: str, tmp_path: Path) -> None:
    """What is published then would be withdrawn before, and be served when another has the nodes."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()
        edges = await world.edges_with_lease()
        begun, goes_on = asyncio.Event(), asyncio.Event()
        served: set[str] = set()

        class Publisher(NotingPublisher):
            async def publish(self, entry: BootEntry) -> None:
                begun.set()
                await goes_on.wait()
                served.add(entry.node_id)

            async def withdraw(self, node_id: str, *, root: bool = True) -> None:
                assert not root, "machines live on it"
                served.discard(node_id)

        published = Publications(replace(edges, publisher=Publisher(world)))
        if lost == "before":
            await edges.lease.release()
        following = asyncio.create_task(published.follow(["node-1"], first=(), busy=set(), thoroughly=False))
        if lost == "meanwhile":
            await begun.wait()
            await edges.lease.release()
            await published.withdraw_all()
        goes_on.set()
        await following
        assert served == set()
        assert begun.is_set() is (lost == "meanwhile")

    asyncio.run(story())


def test_no_withdrawal_goes_on_when_another_has_failed(tmp_path: Path) -> None:
    """It could end what is published anew by then."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        withdrawn = list[str]()

        class Publisher(NotingPublisher):
            async def withdraw(self, node_id: str, *, root: bool = True) -> None:
                if node_id == "node-1":
                    raise TransientError("withdraw", answer="not now")
                await asyncio.sleep(0.01)
                withdrawn.append(node_id)

        published = Publications(replace(await world.edges_with_lease(), publisher=Publisher(world)))
        done = await published.withdraw(["node-1", "node-2", "node-3"])
        assert done == withdrawn == ["node-2", "node-3"]
        assert published.quiet_s < inf, "the other one is tried again"

    asyncio.run(story())


class StandingClock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        raise AssertionError("nothing of this waits")


def test_what_could_not_be_withdrawn_is_known_until_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()
        answers = [PermanentError("exportfs -u", answer="exit code 1"), OSError(errno.ESTALE, "stale"), None]

        class Publisher(NotingPublisher):
            async def withdraw(self, node_id: str, *, root: bool = True) -> None:
                if (answer := answers.pop(0)) is not None:
                    raise answer

        clock = StandingClock()
        published = Publications(
            replace(await world.edges_with_lease(), publisher=Publisher(world), clock=clock)
        )
        await published.follow(["node-1"], first=(), busy=set(), thoroughly=True)
        for left in (2, 1, 0):
            await published.follow([], first=(), busy=set(), thoroughly=False)
            assert len(answers) == left
            assert ("node-1" in published) == (left > 0)
            await published.follow([], first=(), busy=set(), thoroughly=False)
            assert len(answers) == left, "not at once again"
            assert not published.behind
            clock.now_s += published.quiet_s if left else 0.0
            assert published.behind == (left > 0)

    asyncio.run(story())


def test_what_fails_is_tried_again_after_longer_pauses(tmp_path: Path) -> None:
    """A try may take half a minute, in which all other nodes wait."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()

        class Publisher(NotingPublisher):
            async def publish(self, entry: BootEntry) -> None:
                self.published.append(entry.node_id)
                raise TransientError("export a root", answer="exportfs was not done after 30 s")

        clock = StandingClock()
        publisher = Publisher(world)
        published = Publications(replace(await world.edges_with_lease(), publisher=publisher, clock=clock))
        pauses = list[float]()
        for number in range(1, 1101):  # most of a day
            await published.follow(["node-1"], first=(), busy=set(), thoroughly=False)
            assert len(publisher.published) == number
            pauses.append(published.quiet_s)
            clock.now_s += published.quiet_s
        assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, *[60.0] * 1095]
        # Interrupted work goes on at once, and what it needs is published before.
        await published.follow(["node-1"], first=(), busy=set(), thoroughly=False)
        published.doubt("node-1")
        assert published.behind

    asyncio.run(story())


def test_what_was_begun_is_withdrawn_however_its_publication_went(tmp_path: Path) -> None:
    """Part of it is served from its first moment on; and others have the node by now."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill()
        await world.enrol(2)
        begun = asyncio.Event()

        class Publisher(NotingPublisher):
            async def publish(self, entry: BootEntry) -> None:
                await super().publish(entry)
                if entry.node_id == "node-1":
                    raise TransientError("tell dnsmasq", answer="it starts")
                begun.set()
                await asyncio.Event().wait()

        publisher = Publisher(world)
        published = Publications(replace(await world.edges_with_lease(), publisher=publisher))
        following = asyncio.create_task(
            published.follow(["node-1", "node-2"], first=(), busy=set(), thoroughly=True)
        )
        await begun.wait()
        await published.withdraw_all()
        following.cancel()
        assert publisher.withdrawn == [("node-1", False), ("node-2", False)]

    asyncio.run(story())


@pytest.mark.parametrize(
    "cause",
    [
        TransientError("write hosts of dnsmasq", answer="no space left"),
        OSError(errno.ESTALE, "Stale file handle"),
        ValueError("a defect"),
    ],
    ids=["transient", "storage", "defect"],
)
def test_one_node_that_cannot_be_published_holds_up_no_other_nor_its_own_work_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    publish, works = OneServer.publish, list[bool]()

    async def story(world: FakeWorld) -> None:
        async def fails(server: OneServer, entry: BootEntry) -> None:
            if entry.node_id == "node-2":
                raise cause
            await publish(server, entry)

        monkeypatch.setattr(OneServer, "publish", fails)
        run = Worker.run

        async def noted(worker: Worker) -> None:
            works.append(worker.ctx.node.id == "node-2")
            await run(worker)

        monkeypatch.setattr(Worker, "run", noted)
        work = Work(id="w", plan="enrol", step="verify_power", entered_at=records.NOW)
        await world.enrol(2, state=ProvisionState.ENROLLING, work=work)
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.ACTIVE)

        async def begun() -> bool:
            return any(works)

        await world.until("its work has begun all the same", begun)

    play(tmp_path, story)


def test_a_failed_node_s_publication_that_could_not_be_ended_is_ended_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, refused = OneServer.publish, list[str]()

    async def story(world: FakeWorld) -> None:
        async def fails_once(server: OneServer, entry: BootEntry) -> None:
            node = await world.node()
            if node.state is ProvisionState.DEPLOY_FAILED and not refused:
                refused.append(entry.kind)
                raise PermanentError("exportfs -u", answer="exit code 1")
            await publish(server, entry)

        monkeypatch.setattr(OneServer, "publish", fails_once)
        world.broken.add("n1")
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.DEPLOY_FAILED)

        async def ended() -> bool:
            entry = world.rack.machine("n1").entry
            return bool(refused) and entry is not None and entry.kind is PublicationKind.NOTHING

        await world.until("nothing is published", ended)

    play(tmp_path, story)


def test_what_could_not_be_published_is_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        await world.fill(
            publication=Publication(kind=PublicationKind.INSTANCE, kernel="k", root="node-1.1.a")
        )
        published, publisher = await publications(world)
        await published.follow(["node-1"], first=(), busy=set(), thoroughly=True)
        assert "node-1" in published, "it is known, and doesn't hold up the others"
        world.rack.roots.folders["node-1.1.a"] = {}  # as of a storage that is mounted late
        await published.follow(["node-1"], first=(), busy=set(), thoroughly=False)
        await published.follow(["node-1"], first=(), busy={"node-1"}, thoroughly=True)
        assert publisher.published == []
        await published.follow(["node-1"], first=(), busy=set(), thoroughly=True)
        assert publisher.published == ["node-1"]

    asyncio.run(story())


def test_a_node_whose_work_was_interrupted_is_published_anew_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a store that went away when the node, withdrawn already, was to be passed on."""
    run, seen = Worker.run, list[bool]()

    async def story(world: FakeWorld) -> None:
        async def interrupted(worker: Worker) -> None:
            seen.append(world.rack.machine("n1").entry is not None)
            if len(seen) == 1:
                await worker.ctx.edges.publisher.withdraw("node-1")
                raise TransientError("use the database", answer="it is away")
            await run(worker)

        monkeypatch.setattr(Worker, "run", interrupted)
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        assert seen == [True, True]

    play(tmp_path, story)


@pytest.mark.parametrize("passes", [True, False], ids=["once", "for good"])
def test_a_boot_is_not_gone_on_with_before_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: bool
) -> None:
    """As of a node that comes to a host whose disk is full: it would boot, find nothing, be waited for."""
    publish, refused = OneServer.publish, list[str]()

    async def story(world: FakeWorld) -> None:
        async def full(server: OneServer, entry: BootEntry) -> None:
            if restarted and entry.kind is not PublicationKind.NOTHING and (not passes or len(refused) < 4):
                refused.append(entry.kind)
                raise StorageFull("write what nodes are offered", answer="0 bytes are free")
            await publish(server, entry)

        monkeypatch.setattr(OneServer, "publish", full)
        restarted = False
        await world.ask()
        await world.comes_to("agent_ready")
        await world.die()
        world.lose_boot()
        world.rack.machine("n1").entry = None  # its services died with it
        restarted = True
        world.start()
        if passes:
            await world.becomes(ProvisionState.ACTIVE)
            assert len(refused) == 4
        else:
            await world.becomes(ProvisionState.DEPLOY_FAILED)
            failure = (await world.node()).failure
            assert failure is not None and failure.code == "storage-full"

    play(tmp_path, story, boot_s=0.2)

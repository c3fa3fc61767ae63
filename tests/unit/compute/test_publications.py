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
from provisioner.core.errors import PermanentError, TransientError
from provisioner.core.model import Node, Publication, PublicationKind
from provisioner.drivers.fake import FakePublisher
from provisioner.protocols.boot import BootEntry
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld


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

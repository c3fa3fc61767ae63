"""One node's services may take half a minute: what a host does with its other nodes goes on beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from provisioner.compute.publications import AT_ONCE, Publications
from provisioner.core.errors import TransientError
from provisioner.core.model import NodeRequest, RequestState
from provisioner.core.states import ProvisionState
from provisioner.drivers.fake import FakePublisher
from provisioner.protocols.boot import BootEntry
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld
from tests.unit.compute.one_server import OneServer

LONG_S = 3000.0
STUCK = "node-0000"


class SlowNode:
    """Of one node: how often its publication was begun, and whether it may end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, node_id: str) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        publish = OneServer.publish

        async def slowly(server: OneServer, entry: BootEntry) -> None:
            if entry.node_id == node_id:
                self.begun.set()
                await self.may_end.wait()
            await publish(server, entry)

        monkeypatch.setattr(OneServer, "publish", slowly)


Slowing = Callable[[str], SlowNode]
Play = Callable[[Callable[[FakeWorld], Awaitable[None]]], None]


@pytest.fixture
def slow_node(monkeypatch: pytest.MonkeyPatch) -> Slowing:
    """By the id of the node, from now on."""
    return partial(SlowNode, monkeypatch)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """With n1 and n2, idle, and no host yet; nothing is ever served by two."""

    def played(story: Callable[[FakeWorld], Awaitable[None]]) -> None:
        async def run() -> None:
            world = FakeWorld(tmp_path, boot_deadline_s=LONG_S)
            await world.fill()
            await world.enrol(2, state=ProvisionState.AVAILABLE)
            try:
                await story(world)
                assert world.overlaps == []
            finally:
                await world.end()

        asyncio.run(run())

    return played


async def resumed(world: FakeWorld) -> bool:
    return any(event.name == "step.resumed" for event in await world.events())


async def deploy_is_cut_short(world: FakeWorld) -> None:
    """Of n1: its host has died."""
    world.start()
    world.rack.hangs = True
    await world.ask(node_name="n1")
    await world.comes_to("agent_ready")
    await world.die()


def test_a_deploy_goes_on_while_an_idle_node_is_still_being_published(play: Play, slow_node: Slowing) -> None:
    async def story(world: FakeWorld) -> None:
        await deploy_is_cut_short(world)
        slow = slow_node("node-2")
        world.start()
        await slow.begun.wait()
        await world.until("the deploy goes on", lambda: resumed(world))
        assert not slow.may_end.is_set()

    play(story)


def test_work_waits_until_its_own_node_is_published(play: Play, slow_node: Slowing) -> None:
    async def story(world: FakeWorld) -> None:
        await deploy_is_cut_short(world)
        slow = slow_node("node-1")
        world.start()
        await slow.begun.wait()

        async def served() -> bool:
            return world.servers.get("node-2") == "host"

        await world.until("the other one is served", served)
        for _ in range(5):  # looks, each of which would begin it
            await world.store.transact(lambda tx: tx.notify("work"))
            await asyncio.sleep(0.01)
        assert not await resumed(world)
        slow.may_end.set()
        await world.until("the deploy goes on", lambda: resumed(world))

    play(story)


def test_an_operator_s_command_is_carried_out_while_another_node_is_being_published(
    play: Play, slow_node: Slowing
) -> None:
    async def story(world: FakeWorld) -> None:
        slow = slow_node("node-2")
        world.start()
        await slow.begun.wait()
        command = NodeRequest(
            id="r", node_id="node-1", verb="power:refresh", created_at=records.NOW, updated_at=records.NOW
        )
        await world.store.transact(lambda tx: (tx.insert(command), tx.notify("requests")))

        async def done() -> bool:
            found = await world.store.transact(lambda tx: tx.get(NodeRequest, "r"))
            return found is not None and found.state is RequestState.DONE

        await world.until("it is done", done)

    play(story)


def test_a_host_that_is_told_to_end_does_not_wait_for_a_publication(play: Play, slow_node: Slowing) -> None:
    async def story(world: FakeWorld) -> None:
        slow = slow_node("node-2")
        world.start(drain_s=5.0)
        await slow.begun.wait()
        world.hosts["host"].leave()
        await world.ends("host")
        assert world.servers == {}

    play(story)


def test_a_node_that_is_being_published_is_handed_over_afterwards(play: Play, slow_node: Slowing) -> None:
    async def story(world: FakeWorld) -> None:
        slow = slow_node("node-2")
        world.start()
        await slow.begun.wait()
        world.start("other")
        await world.change_host("host", draining=True)

        async def one_went() -> bool:
            return await world.shares() == {"host": ["n2"], "other": ["n1"]}

        await world.until("the other one is handed over", one_went)
        slow.may_end.set()

        async def both_went() -> bool:
            return await world.shares() == {"other": ["n1", "n2"]} and len(world.servers) == 2

        await world.until("both are", both_went)
        assert set(world.servers.values()) == {"other"}

    play(story)


def test_a_host_is_ready_and_tells_of_no_node_that_waits_once_all_are_published(
    play: Play, slow_node: Slowing
) -> None:
    async def story(world: FakeWorld) -> None:
        await deploy_is_cut_short(world)
        slow = slow_node("node-2")
        with capture_logs() as logs:
            world.start()
            await slow.begun.wait()
            await world.until("the deploy goes on", lambda: resumed(world))
            assert not world.hosts["host"].ready.is_set()
            assert not [line for line in logs if line["event"] == "host.serves" and not line["waiting"]]
            slow.may_end.set()

            async def ready() -> bool:
                return world.hosts["host"].ready.is_set()

            await world.until("it is ready", ready)
        told = [line for line in logs if line["event"] == "host.serves"]
        assert told[-1]["waiting"] == 0 and told[-1]["nodes"] == 2

    play(story)


def test_what_the_store_kept_from_being_published_is_published_when_it_is_back(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, failures = Publications._publish_rows, list[str]()

    async def away_at_first(published: Publications, node_ids: list[str]) -> None:
        if not failures:
            failures.append("away")
            raise TransientError("use the database", answer="it is away")
        await rows(published, node_ids)

    monkeypatch.setattr(Publications, "_publish_rows", away_at_first)

    async def story(world: FakeWorld) -> None:
        world.start()

        async def served() -> bool:
            return len(world.servers) == 2

        await world.until("both are served", served)
        assert failures

    play(story)


class Slow(FakePublisher):
    """Those in `stuck` wait."""

    def __init__(self, world: FakeWorld, *stuck: str) -> None:
        super().__init__(world.rack)
        self.stuck = set(stuck)
        self.published: list[str] = []

    async def publish(self, entry: BootEntry) -> None:
        while entry.node_id in self.stuck:
            await asyncio.sleep(0)
        self.published.append(entry.node_id)


@dataclass(frozen=True, slots=True)
class Many:
    """More nodes than are published together, and one of them, STUCK, that waits. settled: told so far."""

    ids: list[str]
    publisher: Slow
    published: Publications
    settled: list[str]

    def follow(self, first: Sequence[str]) -> asyncio.Task[None]:
        return asyncio.create_task(self.published.follow(self.ids, first=first, busy=set(), thoroughly=False))


PlayMany = Callable[[Callable[[Many], Awaitable[None]]], None]


@pytest.fixture
def play_many(tmp_path: Path) -> PlayMany:
    async def run(story: Callable[[Many], Awaitable[None]]) -> None:
        world, settled = FakeWorld(tmp_path), list[str]()
        ids = [f"node-{number:04}" for number in range(2 * AT_ONCE)]
        nodes = [records.node(id=id, name=f"n-{id}", owner="host") for id in ids]
        await world.store.transact(lambda tx: tx.insert(*nodes))
        publisher = Slow(world, STUCK)
        edges = replace(await world.edges_with_lease(), publisher=publisher)
        await story(Many(ids, publisher, Publications(edges, settled.append), settled))

    return lambda story: asyncio.run(run(story))


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not there():
            await asyncio.sleep(0)


def test_of_many_that_are_waited_for_one_that_is_slow_holds_up_none(play_many: PlayMany) -> None:
    async def story(many: Many) -> None:
        following = many.follow(first=many.ids)
        await until(lambda: len(many.publisher.published) == len(many.ids) - 1)
        assert not many.published.settles_later("node-0001")
        assert many.published.settles_later(STUCK)
        many.publisher.stuck.clear()
        await following
        assert sorted(many.publisher.published) == many.ids

    play_many(story)


def test_what_comes_to_be_waited_for_goes_before_what_was_to_be_published_earlier(
    play_many: PlayMany,
) -> None:
    async def story(many: Many) -> None:
        last = many.ids[-1]
        following = many.follow(first=())
        await until(lambda: len(many.publisher.published) == AT_ONCE - 1)
        assert many.published.settles_later(last)
        await many.published.follow(many.ids, first=[last, STUCK], busy=set(), thoroughly=False)
        assert many.publisher.published[-1] == last
        assert many.settled == [last]
        many.publisher.stuck.clear()
        await following
        assert sorted(many.publisher.published) == many.ids, "each of them once"

    play_many(story)


def test_what_is_withdrawn_before_its_turn_has_come_is_not_published(play_many: PlayMany) -> None:
    """It is to be another host's."""

    async def story(many: Many) -> None:
        following = many.follow(first=())
        await until(lambda: len(many.publisher.published) == AT_ONCE - 1)
        assert await many.published.withdraw([many.ids[-1]]) == [many.ids[-1]]
        many.publisher.stuck.clear()
        await following
        assert sorted(many.publisher.published) == many.ids[:-1]

    play_many(story)

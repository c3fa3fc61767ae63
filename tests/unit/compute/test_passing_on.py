"""What a host can't reach goes to another one that may, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.errors import TransientError
from provisioner.core.model import Host, Node
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld, play
from tests.unit.compute.one_server import OneServer


def withdraw_half(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of what is served one part is ended, and another can't be. Returns who was to be withdrawn."""
    withdraw, asked = OneServer.withdraw, list[str]()

    async def fail(server: OneServer, node_id: str, *, root: bool = True) -> None:
        asked.append(node_id)
        await withdraw(server, node_id, root=root)
        raise TransientError("have dnsmasq read its files again", answer="no answer in 2 s")

    monkeypatch.setattr(OneServer, "withdraw", fail)
    return asked


LONG_S = 900.0
"""Fifty times as long as a test may take."""


async def joined_by_another_host(world: FakeWorld) -> None:
    """One that lives, and takes whatever it is given."""
    other = Host(
        id="other",
        epoch=1,
        beat=1,
        ttl_ms=3_600_000,
        holder="other",
        renewed_at=records.NOW,
        started_at=records.NOW,
    )
    await world.store.transact(lambda tx: tx.insert(other))


async def waits_for_a_node_that_says_nothing(world: FakeWorld) -> None:
    world.rack.hangs = True
    await world.ask()
    await world.comes_to("agent_ready")


async def taken_back(world: FakeWorld) -> None:
    """Its new owner has died."""
    fence = (await world.node()).fence

    def give(tx: Tx) -> None:
        tx.update(Node, "node-1", {"owner": "host", "fence": fence + 1})
        tx.notify("work")

    await world.store.transact(give)


async def passed_on_by(world: FakeWorld) -> list[str]:
    return [event.text for event in await world.events() if event.name == "step.passed_on"]


async def has_passed_on(world: FakeWorld) -> bool:
    return bool(await passed_on_by(world))


def test_a_host_that_hears_neither_a_node_nor_its_power_device_passes_the_work_on(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await joined_by_another_host(world)
        await waits_for_a_node_that_says_nothing(world)
        fence = (await world.node()).fence
        world.rack.silent = True
        await world.until("the work is passed on", lambda: has_passed_on(world))
        node = await world.node()
        assert (node.owner, node.fence) == ("other", fence + 1)
        assert node.work is not None
        assert node.work.step == "set_boot_device", "nobody may have answered its boot"
        assert "boots" not in node.work.facts, "a boot that was answered by nobody doesn't count"
        assert node.work.retries == 0, "it says nothing of the node"
        (why,) = await passed_on_by(world)
        assert "no answer in 1 s" in why

    play(tmp_path, story, boot_deadline_s=LONG_S)


def test_a_node_that_is_quiet_stays_while_its_power_device_answers(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await joined_by_another_host(world)
        await waits_for_a_node_that_says_nothing(world)
        before = world.rack.asked

        async def asked() -> bool:
            return world.rack.asked >= before + 3

        await world.until("its power device is asked again and again", asked)
        assert (await world.node()).owner == "host"
        assert not await has_passed_on(world)

    play(tmp_path, story, boot_deadline_s=LONG_S)


def test_work_that_another_host_has_passed_on_is_not_passed_back(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await joined_by_another_host(world)
        await waits_for_a_node_that_says_nothing(world)
        world.rack.silent = True
        await world.until("the work is passed on", lambda: has_passed_on(world))

        await taken_back(world)
        world.rack.silent = False
        await world.comes_to("agent_ready", times=2)
        world.rack.silent = True
        before = world.rack.asked

        async def asked() -> bool:
            return world.rack.asked >= before + 6

        await world.until("it is asked again and again", asked)
        assert (await world.node()).owner == "host"
        assert len(await passed_on_by(world)) == 1

    play(tmp_path, story, boot_deadline_s=LONG_S)


def test_a_host_that_is_alone_keeps_on_waiting(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await waits_for_a_node_that_says_nothing(world)
        world.rack.silent = True
        before = world.rack.asked

        async def asked() -> bool:
            return world.rack.asked >= before + 6

        await world.until("its power device is asked again and again", asked)
        node = await world.node()
        assert (node.owner, node.state) == ("host", ProvisionState.DEPLOY_WAIT)

    play(tmp_path, story, boot_deadline_s=LONG_S)


def test_a_power_device_that_does_not_answer_is_tried_by_another_host(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await joined_by_another_host(world)
        world.rack.silent = True
        await world.ask()
        await world.until("the work is passed on", lambda: has_passed_on(world))
        node = await world.node()
        assert node.work is not None
        assert (node.owner, node.work.step, node.work.retries) == ("other", "power_on", 0)

    play(tmp_path, story)


def test_work_is_not_passed_on_to_a_host_that_is_forgotten_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdraw = OneServer.withdraw

    async def story(world: FakeWorld) -> None:
        async def slowly(server: OneServer, node_id: str, *, root: bool = True) -> None:
            await withdraw(server, node_id, root=root)
            await world.store.transact(lambda tx: tx.delete(Host, "other"))

        monkeypatch.setattr(OneServer, "withdraw", slowly)
        await joined_by_another_host(world)
        world.rack.silent = True
        await world.ask()
        await world.until("an attempt counts", lambda: has_retried(world))
        world.rack.silent = False
        await world.becomes(ProvisionState.ACTIVE)
        assert (await world.node()).owner == "host"

    play(tmp_path, story)


def test_a_node_of_a_host_that_is_forgotten_comes_to_one_that_lives(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.becomes(ProvisionState.AVAILABLE)
        await world.store.transact(lambda tx: tx.update(Node, "node-1", {"owner": "forgotten", "fence": 9}))

        async def owned() -> bool:
            return (await world.node()).owner == "host"

        await world.until("it is looked for", owned)

    play(tmp_path, story)


async def has_retried(world: FakeWorld) -> bool:
    work = (await world.node()).work
    return work is not None and work.retries > 0


def test_what_cannot_be_withdrawn_is_not_passed_on_and_counts_as_an_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        asked = withdraw_half(monkeypatch)
        await joined_by_another_host(world)
        world.rack.silent = True
        await world.ask()
        await world.until("an attempt counts", lambda: has_retried(world))
        assert asked == ["node-1"]
        world.rack.silent = False
        await world.becomes(ProvisionState.ACTIVE)
        assert (await world.node()).owner == "host"
        assert "step.resumed" not in {event.name for event in await world.events()}

    play(tmp_path, story)


def test_a_wait_that_cannot_be_passed_on_keeps_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        asked = withdraw_half(monkeypatch)
        await joined_by_another_host(world)
        await waits_for_a_node_that_says_nothing(world)
        world.rack.silent = True
        await world.until("the wait is over", lambda: has_retried(world))
        assert asked, "it was to be passed on before"
        assert not await has_passed_on(world)

    play(tmp_path, story, boot_deadline_s=60.0)

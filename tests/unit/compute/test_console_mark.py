"""A console proves what was printed in the boot in hand, as its owner of the moment recorded it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from provisioner.compute.console_mark import BY
from provisioner.core.fields import changed
from provisioner.core.model import Node
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx
from tests.unit.compute.fake_world import FakeWorld, play
from tests.unit.spoken import Spoken, says

MUCH = "x" * 60_000
LOGIN = "login: "


def played(folder: Path, story: Callable[[FakeWorld, dict[str, Spoken]], Awaitable[None]]) -> None:
    """A deploy whose instance is proven by its console alone. Each host records it in files of its own, and
    hears what it says when it begins to listen."""

    async def with_consoles(world: FakeWorld) -> None:
        heard = {}
        for host in ("host", "other"):
            world.consoles[host], heard[host] = says(folder / host)
        heard["host"].said = MUCH
        await world.ask(proof_of_life=(f"console:{LOGIN}",))
        await story(world, heard)

    play(folder, with_consoles, boot_deadline_s=900.0)


async def goes_to(world: FakeWorld, host: str, before: str) -> None:
    """The owner before is dead."""
    await world.die(before)
    fence = (await world.node()).fence
    await world.store.transact(lambda tx: tx.update(Node, "node-1", {"owner": host, "fence": fence + 1}))
    world.start(host)


async def retries(world: FakeWorld) -> int:
    return sum(event.name == "step.retry" for event in await world.events())


def test_what_a_new_owner_has_recorded_counts_from_when_it_took_the_node_up(tmp_path: Path) -> None:
    async def story(world: FakeWorld, heard: dict[str, Spoken]) -> None:
        await world.comes_to("instance_running")
        heard["other"].said = LOGIN
        await goes_to(world, "other", before="host")
        await world.becomes(ProvisionState.ACTIVE)
        assert await retries(world) == 0, "the instance that runs is left alone"

    played(tmp_path, story)


def test_an_earlier_boot_of_the_same_instance_proves_nothing(tmp_path: Path) -> None:
    async def story(world: FakeWorld, heard: dict[str, Spoken]) -> None:
        heard["host"].said = LOGIN
        await world.comes_to("instance_running")
        heard["host"].said = ""
        await goes_to(world, "other", before="host")
        await world.comes_to("instance_running", times=3)  # begun, taken up, begun again by the other's boot
        await goes_to(world, "host", before="other")

        async def begun_again() -> bool:
            return await retries(world) == 2

        await world.until("nothing is seen, and it is begun again", begun_again)

    played(tmp_path, story)


@pytest.mark.parametrize("told", ["by this version", "by the one before"])
def test_a_process_that_is_started_again_knows_what_the_one_before_recorded(
    told: str, tmp_path: Path
) -> None:
    """The version before told a number alone, which may be another host's."""

    def forget_whose(tx: Tx) -> None:
        node = tx.get(Node, "node-1")
        assert node is not None and node.work is not None
        facts = {name: value for name, value in node.work.facts.items() if name != BY}
        tx.update(Node, node.id, {"work": changed(node.work, facts=facts)})

    async def story(world: FakeWorld, heard: dict[str, Spoken]) -> None:
        await world.comes_to("instance_running")
        await world.die()
        with (tmp_path / "host" / "node-1.log").open("a") as record:
            record.write(LOGIN)
        heard["host"].said = ""
        if told == "by the one before":
            await world.store.transact(forget_whose)
            heard["host"].said = LOGIN
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        assert await retries(world) == 0

    played(tmp_path, story)


def test_what_another_version_has_begun_since_is_not_taken_for_this_host_s(tmp_path: Path) -> None:
    """It knows the mark alone, and leaves beside it whose it was."""

    def as_the_version_before(tx: Tx) -> None:
        node = tx.get(Node, "node-1")
        assert node is not None and node.work is not None
        facts = {**node.work.facts, "console_mark": 0}
        tx.update(Node, node.id, {"work": changed(node.work, facts=facts), "fence": node.fence + 1})

    async def story(world: FakeWorld, heard: dict[str, Spoken]) -> None:
        heard["host"].said = LOGIN
        await world.comes_to("instance_running")
        heard["host"].said = ""
        await world.die()
        await world.store.transact(as_the_version_before)
        world.start()

        async def begun_again() -> bool:
            return await retries(world) == 1

        await world.until("nothing is seen, and it is begun again", begun_again)

    played(tmp_path, story)

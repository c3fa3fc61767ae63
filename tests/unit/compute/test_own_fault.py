"""A node that fails to deploy by its own fault: the request goes on, the node is taken out of service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from provisioner.api import instance_orders, node_orders
from provisioner.api.context import ApiContext
from provisioner.compute import endings
from provisioner.compute.context import StepContext
from provisioner.compute.own_fault import judged
from provisioner.core.blame import Verdict
from provisioner.core.model import Failure, Instance, PublicationKind
from provisioner.core.roles import Principal, Role
from provisioner.core.states import InstanceState, ProvisionState
from tests.unit.compute.fake_world import FakeWorld, play

OPERATOR = Principal(user="", tenant="default", role=Role.OPERATOR, credential="")


def with_two_nodes(
    folder: Path, story: Callable[[FakeWorld], Awaitable[None]], broken: tuple[str, ...] = ("n1",)
) -> None:
    """n1 is chosen first: it is the smaller one."""

    async def begin(world: FakeWorld) -> None:
        world.broken |= set(broken)
        await world.enrol(2, memory_mib=2048)
        await story(world)

    play(folder, begin)


async def ends(world: FakeWorld, state: InstanceState) -> Instance:
    async def there() -> bool:
        return (await world.instance()).state is state

    await world.until(f"instance {state}", there)
    return await world.instance()


def test_the_request_goes_on_to_another_node_and_the_bad_one_owes_a_wipe(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask(wipe="full")
        found = await ends(world, InstanceState.ACTIVE)
        assert (found.node_id, found.address, found.failed_on) == ("node-2", "10.77.0.102", ("node-1",))
        assert found.failure is None and not found.waiting_for
        await world.becomes(ProvisionState.CLEAN_FAILED)
        bad = await world.node()
        assert bad.maintenance and bad.instance_id is None and bad.wipe_owed == "full"
        assert bad.maintenance_reason.startswith("a deploy failed by its fault (device-refused), in step ")
        assert "0xd4" in bad.maintenance_reason
        assert bad.deploy_failures == 1
        assert bad.publication.kind is PublicationKind.NOTHING
        told = [event.name for event in await world.events() if event.node_id == "node-1"]
        moved = told.index("instance.moved")
        assert told[moved - 2 : moved] == ["step.failed", "node.out_of_service"]

    with_two_nodes(tmp_path, story)


def test_once_mended_the_bad_node_is_wiped_and_stays_out_of_service_until_its_operator_says_otherwise(
    tmp_path: Path,
) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.CLEAN_FAILED)
        world.broken.clear()
        context = cast(ApiContext, SimpleNamespace(ids=world.ids))
        await world.store.transact(lambda tx: node_orders.clean(tx, context, "n1"))
        await world.becomes(ProvisionState.AVAILABLE)
        node = await world.node()
        assert node.maintenance and not node.wipe_owed
        wipes = [event for event in await world.events() if (event.step, event.name) == ("wipe", "step.done")]
        assert [event.node_id for event in wipes] == ["node-1"]
        await world.store.transact(lambda tx: node_orders.set_maintenance(tx, "n1", on=False, reason=""))
        assert (await world.node()).deploy_failures == 0

    with_two_nodes(tmp_path, story)


def test_death_of_the_process_right_after_the_move_loses_neither(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()

        async def moved() -> bool:
            return bool((await world.instance()).failed_on)

        await world.until("the request has moved", moved)
        await world.die()
        node = await world.node()
        assert node.work is not None and node.work.plan == "clean" and node.instance_id is None
        world.start()
        await ends(world, InstanceState.ACTIVE)
        await world.becomes(ProvisionState.CLEAN_FAILED)

    with_two_nodes(tmp_path, story)


def test_a_request_that_names_its_node_ends_with_its_failure(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask(node_name="n1")
        found = await ends(world, InstanceState.ERROR)
        assert found.node_id == "node-1" and found.failure is not None
        node = await world.node()
        assert (node.state, node.maintenance) == (ProvisionState.DEPLOY_FAILED, False)
        assert node.deploy_failures == 1

    with_two_nodes(tmp_path, story)


def test_when_no_other_node_can_carry_it_the_request_ends_at_once_and_can_be_deleted(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.broken.add("n1")
        await world.ask()
        found = await ends(world, InstanceState.ERROR)
        assert found.node_id is None and found.failure is not None
        assert found.failure.code == "device-refused"
        assert "No other node can carry the instance: no node fits: 1 × " in found.failure.likely_cause
        await world.store.transact(lambda tx: instance_orders.delete(tx, OPERATOR, "instance-1"))
        assert (await world.instance()).state is InstanceState.DELETED

    play(tmp_path, story)


def test_a_request_waits_for_a_node_that_is_only_busy(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask(id="instance-2", name="first", node_name="n2")
        await world.becomes(ProvisionState.ACTIVE, 2)
        await world.ask()

        async def told() -> bool:
            found = await world.instance()
            return bool(found.failed_on) and "it is active" in found.waiting_for

        await world.until("it waits, and is told for what", told)
        assert (await world.instance()).state is InstanceState.REQUESTED

    with_two_nodes(tmp_path, story)


def test_a_request_that_is_deleted_meanwhile_does_not_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        async def and_deleted(ctx: StepContext, failure: Failure) -> Verdict:
            found = await judged(ctx, failure)
            await world.delete()
            return found

        monkeypatch.setattr(endings, "judged", and_deleted)
        await world.ask()
        await world.becomes(ProvisionState.CLEAN_FAILED)
        world.broken.clear()
        found = await world.instance()
        assert found.failed_on == () and found.state is InstanceState.DELETING
        assert (await world.node(2)).state is ProvisionState.AVAILABLE
        assert (await world.node()).instance_id == "instance-1", (
            "it is released when the power is seen to be off"
        )

    with_two_nodes(tmp_path, story)

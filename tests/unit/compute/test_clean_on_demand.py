"""An operator has a node cleaned that carries nothing: it may come from elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from provisioner.api import node_orders
from provisioner.api.context import ApiContext
from provisioner.core.extra_specs import unmet
from provisioner.core.model import Work
from provisioner.core.states import ProvisionState
from provisioner.drivers.fake_agent import DEVICE
from tests.unit.compute.fake_world import FakeWorld, play

ASKED = {"trait:cpu_avx2": "forbidden", "disks": ">= 1"}


async def clean(world: FakeWorld, wipe: str) -> Work:
    await world.becomes(ProvisionState.AVAILABLE)
    context = cast(ApiContext, SimpleNamespace(ids=world.ids))
    await world.store.transact(lambda tx: node_orders.clean(tx, context, "n1", wipe=wipe))
    work = (await world.node()).work
    assert work is not None
    return work


async def ended(world: FakeWorld) -> bool:
    return (await world.node()).work is None


def test_it_is_wiped_tells_what_it_is_made_of_and_is_offered(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        machine = world.rack.machine("n1")
        assert unmet(ASKED, await world.node()) is not None
        work = await clean(world, "full")
        assert (work.plan, machine.wiped) == ("clean", ())
        await world.until("it is cleaned", lambda: ended(world))
        node = await world.node()
        assert (node.state, node.wipe_owed, machine.wiped) == (ProvisionState.AVAILABLE, "", (DEVICE,))
        assert unmet(ASKED, node) is None
        told = [event.text for event in await world.events() if event.step == "wipe"]
        assert any(text.startswith("full wipe of 1 disk") for text in told)
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)

    play(tmp_path, story)


def test_a_request_waits_until_it_is_over(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await clean(world, "quick")
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        steps = [event.step for event in await world.events() if event.name == "step.done"]
        assert steps.index("wipe") < steps.index("withdraw_boot") < steps.index("write_image")

    play(tmp_path, story)

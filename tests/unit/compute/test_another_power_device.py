"""A node's power device is replaced while an instance is on it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from provisioner.api import node_orders
from provisioner.api.context import ApiContext
from provisioner.config.node_power import FakePower
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from provisioner.protocols.store import Tx
from tests.unit.compute.fake_world import FakeWorld, play

OLD = {"address": "10.78.0.1"}


def test_the_instance_goes_and_the_node_comes_back_once_it_is_corrected(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        context = SimpleNamespace(ids=world.ids, power_drivers=frozenset({"fake"}), seal=lambda text: text)
        api = cast(ApiContext, context)

        def correct(tx: Tx) -> None:
            node_orders.set_power_device(tx, api, "n1", FakePower(driver="fake"))

        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        world.broken.add(OLD["address"])
        await world.delete()
        await world.becomes(ProvisionState.CLEAN_FAILED)
        assert (await world.instance()).state is InstanceState.DELETING
        assert world.rack.machine("n1").power is PowerState.ON

        await world.store.transact(correct)
        await world.store.transact(lambda tx: node_orders.clean(tx, api, "n1"))
        await world.becomes(ProvisionState.AVAILABLE)
        assert (await world.instance()).state is InstanceState.DELETED
        assert world.rack.machine("n1").wiped

    play(tmp_path, story, power_address=OLD)


def test_an_available_node_is_offered_again_once_the_new_one_has_answered(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        context = SimpleNamespace(ids=world.ids, power_drivers=frozenset({"fake"}), seal=lambda text: text)
        world.broken.add(OLD["address"])

        def correct(tx: Tx) -> None:
            power = FakePower(driver="fake")
            node_orders.set_power_device(tx, cast(ApiContext, context), "n1", power)

        await world.becomes(ProvisionState.AVAILABLE)
        await world.store.transact(correct)
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        steps = [event.step for event in await world.events() if event.name == "step.done"]
        assert steps.index("verify_power") < steps.index("power_on")

    play(tmp_path, story, power_address=OLD)

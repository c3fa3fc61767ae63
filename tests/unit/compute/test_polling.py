"""Wake-ups are hints: a compute host begins its work without any."""

from __future__ import annotations

import asyncio
from math import inf
from pathlib import Path

import pytest

from provisioner.compute import host
from provisioner.core.states import ProvisionState
from tests.unit.compute.fake_world import FakeWorld
from tests.unit.fakes import DeafStore


def test_a_deploy_and_a_deletion_are_begun_by_polling_when_their_wake_ups_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each poll is to find them, not the one in a minute that reads all anew.
    monkeypatch.setattr(host, "THOROUGHLY_EVERY_S", inf)

    async def story() -> None:
        world = FakeWorld(tmp_path)
        world.store = DeafStore(world.clock)
        world.poll_s = 0.05
        await world.fill()
        world.start()
        try:
            await world.until("it has an owner", lambda: has_an_owner(world))
            await world.ask()
            await world.becomes(ProvisionState.ACTIVE)
            await world.delete()
            await world.becomes(ProvisionState.AVAILABLE)
        finally:
            await world.end()

    asyncio.run(story())


async def has_an_owner(world: FakeWorld) -> bool:
    return (await world.node()).owner is not None

"""Programs of a compute host of the model, and the guard that ends them with its lease."""

from __future__ import annotations

import asyncio

from provisioner.services.lease_guard_program import LOOK_S
from scenarios.runner.model.children import ModelChildren
from scenarios.runner.processes import Process
from scenarios.runner.virtual_time import run


def test_what_was_started_after_the_lease_was_told_ends_with_it_though_its_parent_stands_still() -> None:
    async def story() -> None:
        parent = Process("ch1")
        children = ModelChildren(parent)
        children.lasts_until(15.0)
        parent.start(children.serve_dhcp(), name="dhcp")
        await asyncio.sleep(1.0)
        parent.stop()
        await asyncio.sleep(13.0)
        assert children.dhcp_serves
        await asyncio.sleep(1.0 + 2 * LOOK_S)
        assert not children.dhcp_serves

    run(story(), 1)

"""Whatever is done to a node with an active instance is caught: by its BMC, its outlets, its disk, its agent,
its board's monitor. Each is done 20 s after the client was told that the instance is active."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from provisioner.compute import worker
from provisioner.compute.agent_session import client
from provisioner.compute.context import StepContext
from provisioner.compute.steps.board import NIC
from provisioner.core.errors import ProvisionerError
from provisioner.core.outcome import Next, Outcome
from provisioner.core.states import PowerState
from scenarios.runner.random_story import family
from scenarios.runner.story import Story
from tests.model.mutants import DEPLOY, Step, board_story, breaches, replace_steps, story

AFTER_S = 20.0

Act = Callable[[StepContext], Awaitable[Any]]

TO_ITS_OWN_SYSTEM = (
    *("write_image", "verify_image", "partition_disk", "grow_root", "make_ephemeral", "make_swap"),
    *("write_config_drive", "publish_instance_boot", "reboot"),
)
"""What lies between the agent and the instance: without it the agent is there still."""


async def cut_power(ctx: StepContext) -> None:
    await ctx.edges.power.ensure(ctx.device, PowerState.OFF)


async def wipe(ctx: StepContext) -> None:
    await client(ctx).run("wipe", {"devices": "all", "mode": "quick"}, timeout_s=60.0)


async def set_address(ctx: StepContext) -> None:
    address = ctx.boot_port.address
    await ctx.edges.monitor.run(address, (("ifconfig", NIC, address, "netmask", ctx.edges.netmask),))


def step(name: str) -> Act:
    return worker.STEPS[name]


def outlet_story() -> Story:
    nodes = (family("x86_64", "bios").node(1, "pdu"),)
    return replace(story(DEPLOY), nodes=nodes)


def active_board_story() -> Story:
    deploy, _ = board_story().requests
    return replace(board_story(), requests=(deploy,))


@dataclass(frozen=True)
class Touch:
    """says: of the breach. skipped: steps that are believed."""

    story: Story
    act: Act
    says: str
    skipped: tuple[str, ...] = ()


TOUCHES = {
    "its BMC": Touch(story(DEPLOY), cut_power, "switched the power of n1"),
    "its outlet": Touch(outlet_story(), cut_power, "switched an outlet of n1"),
    "its disk": Touch(story(DEPLOY), step("write_image"), "wrote to a disk of n1", TO_ITS_OWN_SYSTEM),
    "its agent": Touch(story(DEPLOY), wipe, "had wipe run on the agent of n1", TO_ITS_OWN_SYSTEM),
    "its monitor": Touch(active_board_story(), set_address, "had ifconfig run by the monitor of n1"),
}


async def believe(ctx: StepContext) -> Outcome:
    return Next("it will be right")


@pytest.mark.parametrize("by", TOUCHES)
def test_whoever_touches_an_active_node_is_caught_by(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    touch, later = TOUCHES[by], list[asyncio.Task[None]]()
    running = believe if touch.skipped else worker.STEPS["instance_running"]

    async def act_later(ctx: StepContext) -> None:
        await ctx.edges.clock.sleep(AFTER_S)
        with suppress(ProvisionerError):  # what it did is seen whatever becomes of it
            await touch.act(ctx)

    async def run_and_act(ctx: StepContext) -> Outcome:
        outcome = await running(ctx)
        if isinstance(outcome, Next):
            later.append(asyncio.create_task(act_later(ctx)))
        return outcome

    believed: dict[str, Step] = dict.fromkeys(touch.skipped, believe)
    replace_steps(monkeypatch, {**believed, "instance_running": running})
    assert "active_node_untouched" not in {breach.promise for breach in breaches(touch.story)}
    replace_steps(monkeypatch, {**believed, "instance_running": run_and_act})
    told = {breach.what for breach in breaches(touch.story) if breach.promise == "active_node_untouched"}
    assert told == {f"ch1 {touch.says}, whose instance is active"}

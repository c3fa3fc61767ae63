"""Roots by NFS that are touched while nodes live on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.model import Image
from provisioner.core.outcome import Next, Outcome
from scenarios.runner.story import OnTold, Request, Story
from tests.model.mutants import DELETE, DEPLOY, broken_promises, replace_steps, story

DELETED_LATER = replace(DELETE, when=OnTold("web", "active", after_s=60.0))


def by_nfs(*requests: Any) -> Story:
    told = story(*requests, images=("tiny", "debian"))
    return replace(told, nodes=tuple(replace(node, deploy="nfs") for node in told.nodes))


async def remove_root(ctx: StepContext) -> None:
    await ctx.edges.roots.remove(ctx.node.id, fence=ctx.node.fence)


async def make_another_root(ctx: StepContext) -> None:
    (name,) = await ctx.edges.roots.names()
    (image,) = await ctx.edges.store.transact(lambda tx: tx.find(Image, where={"name": "debian"}))
    assert image.sha256 is not None and image.tree_digest is not None
    path = ctx.edges.blob(image.sha256)
    await ctx.edges.roots.make(name, path, format=image.format, digest=image.tree_digest, files={})


@pytest.mark.parametrize("act", [remove_root, make_another_root])
@pytest.mark.parametrize("requests", [(DEPLOY,), (DEPLOY, DELETED_LATER)], ids=["it stays", "it leaves"])
def test_a_root_by_nfs_that_is_touched_while_its_node_lives_on_it_is_caught(
    act: Callable[[StepContext], Awaitable[None]],
    requests: tuple[Request, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert broken_promises(by_nfs(*requests)) == set()
    running, acting = worker.STEPS["instance_running"], list[asyncio.Task[None]]()

    async def later(ctx: StepContext) -> None:
        await ctx.edges.clock.sleep(20.0)
        await act(ctx)

    async def run(ctx: StepContext) -> Outcome:
        outcome = await running(ctx)
        if isinstance(outcome, Next):
            acting.append(asyncio.create_task(later(ctx)))
        return outcome

    replace_steps(monkeypatch, {"instance_running": run})
    assert "bytes_equal_image" in broken_promises(by_nfs(*requests))

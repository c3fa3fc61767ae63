"""Since when a node's console speaks of the boot in hand: a place in its owner's own record of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.compute.context import StepContext

MARK = "console_mark"
"""A fact of a work: what its owner had recorded when the boot began, in bytes."""

BY = "console_mark_by"
"""Beside it: that owner, and the node's fence when it said so. A version that knows the mark alone writes it
for another host's record and leaves this as it was; the fence tells."""


def begin_boot(ctx: StepContext) -> Mapping[str, Any]:
    """Facts of a boot that begins now."""
    return _facts(ctx, ctx.edges.consoles.position(ctx.node.id))


def take_up(ctx: StepContext) -> Mapping[str, Any]:
    """Facts of a boot that was begun before its work was taken up: whatever is recorded from now on is of it,
    or of a later one. Of what was recorded before, this host knows it only when it began the boot itself and
    nobody has owned the node since."""
    if MARK not in ctx.facts:
        return {}
    here = ctx.edges.consoles.position(ctx.node.id)
    host, fence = ctx.facts.get(BY) or ("", 0)
    # A start of this host, and nothing else, raises the fence by one and leaves it the node.
    ours = host == ctx.edges.lease.host and ctx.node.fence - fence <= 1
    # A process before this one may have counted what it had dropped.
    return _facts(ctx, min(int(ctx.facts[MARK]), here) if ours else here)


def _facts(ctx: StepContext, mark: int) -> Mapping[str, Any]:
    return {MARK: mark, BY: [ctx.edges.lease.host, ctx.node.fence]}


def said(ctx: StepContext) -> str:
    """What this host has recorded of the instance since its boot began, as far as a proof may lie there."""
    instance, _ = ctx.deploy()
    since = int(ctx.facts.get(MARK, 0))
    return ctx.edges.consoles.text(ctx.node.id, of=instance.id, since=since)

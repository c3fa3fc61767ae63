"""How each plan ends, well or badly: the node's and the instance's last writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog

from provisioner.compute.context import StepContext
from provisioner.compute.own_fault import Gone, advised, held_against, judged, move
from provisioner.compute.publishing import boot_entry
from provisioner.core.model import Failure, Instance, Publication, PublicationKind, TimelineEvent
from provisioner.core.states import Event, InstanceState, ProvisionState, next_state
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    well: Callable[[StepContext, TimelineEvent], Awaitable[None]]
    badly: Callable[[StepContext, Failure], Awaitable[None]]


async def _end(
    ctx: StepContext,
    event: Event,
    changes: Mapping[str, Any],
    instance: Mapping[str, Any],
    *events: TimelineEvent,
) -> None:
    known = ctx.instance

    def also(tx: Tx) -> None:
        if known is not None and instance:
            # A deletion that was asked for meanwhile stays asked for: it has a field of its own.
            tx.update(Instance, known.id, instance)
            tx.notify("instances", f"instance:{known.id}")
        tx.notify("nodes", *(("offers",) if state is ProvisionState.AVAILABLE else ()))

    state = next_state(ctx.node.state, event)
    await ctx.ledger.write({"state": state, "work": None, **changes}, *events, also=also)


async def _enrolled(ctx: StepContext, done: TimelineEvent) -> None:
    await _end(ctx, Event.VERIFIED, {"failure": None}, {}, done, ctx.ledger.event("node.available"))


async def _deployed(ctx: StepContext, done: TimelineEvent) -> None:
    instance = {"state": InstanceState.ACTIVE, "failure": None, "address": ctx.boot_port.address}
    event = ctx.ledger.event("instance.active", done.text)
    await _end(ctx, Event.RUNNING, {"failure": None, "deploy_failures": 0}, instance, done, event)


async def _cleaned(ctx: StepContext, done: TimelineEvent) -> None:
    changes = {"failure": None, "instance_id": None, "wipe_owed": ""}
    await _end(ctx, Event.CLEANED, changes, {}, done, ctx.ledger.event("node.available"))


async def _failed(ctx: StepContext, failure: Failure) -> None:
    await _end_badly(ctx, failure, {}, {})


async def _not_deployed(ctx: StepContext, failure: Failure) -> None:
    found = await judged(ctx, failure)
    failure = advised(failure, found)
    if found.moves:
        try:
            await move(ctx, failure, found)
        except Gone:
            log.info("instance.not_moved", node=ctx.node.name, cause="its deletion was asked for")
        else:
            await _publish_nothing(ctx)
            return
    await _end_badly(ctx, failure, held_against(ctx.node, found), {"state": InstanceState.ERROR})


async def _end_badly(
    ctx: StepContext, failure: Failure, node: Mapping[str, Any], instance: Mapping[str, Any]
) -> None:
    changes = {"failure": failure, "publication": Publication(kind=PublicationKind.NOTHING), **node}
    event = ctx.ledger.event("step.failed", failure.message, step=failure.step, detail={"code": failure.code})
    await _end(ctx, Event.FAIL, changes, {"failure": failure, **instance}, event)
    await _publish_nothing(ctx)


async def _publish_nothing(ctx: StepContext) -> None:
    """The row says so already: when this fails, the node's owner publishes what the row says again."""
    await ctx.edges.publisher.publish(boot_entry(ctx.edges, ctx.node, ctx.ports))


ENDINGS: MappingProxyType[str, Ending] = MappingProxyType(
    {
        "enrol": Ending(_enrolled, _failed),
        "deploy-iscsi": Ending(_deployed, _not_deployed),
        "deploy-nfs": Ending(_deployed, _not_deployed),
        "deploy-tilera": Ending(_deployed, _not_deployed),
        "clean": Ending(_cleaned, _failed),
        "clean-nfs": Ending(_cleaned, _failed),
        "clean-tilera": Ending(_cleaned, _failed),
    }
)

"""How each plan ends, well or badly: the node's and the instance's last writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog

from provisioner.compute.context import StepContext
from provisioner.compute.publishing import boot_entry
from provisioner.core.errors import ProvisionerError
from provisioner.core.model import Failure, Instance, Publication, PublicationKind, TimelineEvent
from provisioner.core.states import Event, InstanceState, next_state
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
        tx.notify("nodes")

    state = next_state(ctx.node.state, event)
    await ctx.ledger.write({"state": state, "work": None, **changes}, *events, also=also)


async def _enrolled(ctx: StepContext, done: TimelineEvent) -> None:
    await _end(ctx, Event.VERIFIED, {"failure": None}, {}, done, ctx.ledger.event("node.available"))


async def _deployed(ctx: StepContext, done: TimelineEvent) -> None:
    instance = {"state": InstanceState.ACTIVE, "failure": None, "address": ctx.boot_port.address}
    event = ctx.ledger.event("instance.active", done.text)
    await _end(ctx, Event.RUNNING, {"failure": None}, instance, done, event)


async def _cleaned(ctx: StepContext, done: TimelineEvent) -> None:
    changes = {"failure": None, "instance_id": None, "wipe_owed": ""}
    await _end(ctx, Event.CLEANED, changes, {}, done, ctx.ledger.event("node.available"))


async def _failed(ctx: StepContext, failure: Failure) -> None:
    instance: dict[str, Any] = {"failure": failure}
    if ctx.work.plan.startswith("deploy"):
        instance["state"] = InstanceState.ERROR
    changes = {"failure": failure, "publication": Publication(kind=PublicationKind.NOTHING)}
    event = ctx.ledger.event("step.failed", failure.message, step=failure.step, detail={"code": failure.code})
    await _end(ctx, Event.FAIL, changes, instance, event)
    try:
        await ctx.edges.publisher.publish(boot_entry(ctx.edges, ctx.node, ctx.ports))
    except ProvisionerError as error:
        # The row says that nothing is published; whoever takes the node up next makes it so.
        log.error("node.not_withdrawn", node=ctx.node.name, cause=error.message)


ENDINGS: MappingProxyType[str, Ending] = MappingProxyType(
    {
        "enrol": Ending(_enrolled, _failed),
        "deploy-iscsi": Ending(_deployed, _failed),
        "deploy-nfs": Ending(_deployed, _failed),
        "deploy-tilera": Ending(_deployed, _failed),
        "clean": Ending(_cleaned, _failed),
        "clean-nfs": Ending(_cleaned, _failed),
        "clean-tilera": Ending(_cleaned, _failed),
    }
)

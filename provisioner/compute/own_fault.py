"""A deploy failed: what its node and its request come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from provisioner.compute.context import StepContext
from provisioner.core.blame import Verdict, out_of_service_for, verdict
from provisioner.core.model import Failure, Instance, Node, Publication, PublicationKind, Work
from provisioner.core.plan import clean_plan
from provisioner.core.states import Event, InstanceState, next_state
from provisioner.protocols.store import Tx


class Gone(Exception):
    """The request's deletion was asked for meanwhile: nothing of the move was written."""


async def judged(ctx: StepContext, failure: Failure) -> Verdict:
    instance, _ = ctx.deploy()
    node, begins = ctx.node, out_of_service_for(failure.code)

    def count(tx: Tx) -> tuple[int, int]:
        out = tx.pick(Node, "id", "maintenance_reason", where={"maintenance": True})
        alike = sum(1 for id, reason in out if id != node.id and reason.startswith(begins))
        return alike, tx.count(Node)

    alike, nodes = await ctx.edges.store.transact(count)
    return verdict(failure, instance, alike=alike, nodes=nodes)


def held_against(node: Node, found: Verdict) -> Mapping[str, Any]:
    """What the node's row says of it from now on."""
    if not found.own:
        return {}
    changes: dict[str, Any] = {"deploy_failures": node.deploy_failures + 1}
    if found.maintenance:
        changes |= {"maintenance": True, "maintenance_reason": found.maintenance}
    return changes


async def move(ctx: StepContext, failure: Failure, found: Verdict) -> None:
    """The request waits for another node, and this one is cleaned: it owes a wipe. One transaction, so that
    whoever dies, neither is lost. Raises Gone; LeaseLost as the ledger does."""
    instance, node = ctx.deploy()[0], ctx.node
    plan = clean_plan(node)
    work = Work(id=ctx.edges.ids.uuid(), plan=plan.name, step=plan.first, entered_at=node.updated_at)
    why = f"node {node.name} failed: {failure.message}"

    def request(tx: Tx) -> None:
        changes = {
            "state": InstanceState.REQUESTED,
            "node_id": None,
            "address": "",
            "failure": failure,
            "failed_on": (*instance.failed_on, node.id),
            "waiting_for": f"{why}. It is given another",
        }
        if not tx.update(Instance, instance.id, changes, expect={"delete_requested": False}):
            raise Gone
        tx.notify("instances", f"instance:{instance.id}", "nodes", "work")

    await ctx.ledger.write(
        {
            "state": next_state(node.state, Event.RELEASE),
            "instance_id": None,
            "wipe_owed": instance.wipe,
            "work": work,
            "failure": failure,
            "publication": Publication(kind=PublicationKind.NOTHING),
            **held_against(node, found),
        },
        ctx.ledger.event("step.failed", failure.message, step=failure.step, detail={"code": failure.code}),
        ctx.ledger.event("node.out_of_service", found.maintenance),
        ctx.ledger.event("instance.moved", f"{why}. Instance {instance.name} is given another"),
        also=request,
    )
    ctx.edges.evidence.on_instance(node.id, None)


def advised(failure: Failure, found: Verdict) -> Failure:
    """With what the verdict adds."""
    parts = (failure.likely_cause, found.told)
    return replace(failure, likely_cause=". ".join(part for part in parts if part))

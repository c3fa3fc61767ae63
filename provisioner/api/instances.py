"""/v1/instances"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from provisioner.api import consoles, instance_orders, instance_power, views
from provisioner.api.answers import answer, page
from provisioner.api.consoles import Follow, TailBytes
from provisioner.api.context import After, AfterEvent, ApiContext, Context, Limit
from provisioner.api.disclosure import request_for
from provisioner.api.instance_power import Change, pending_orders, power_now, power_of
from provisioner.api.once import once
from provisioner.api.public_keys import MAX_LINE_BYTES
from provisioner.api.rights import GuardedRoute
from provisioner.api.visible import find_instance
from provisioner.config.proof_of_life import ProofOfLife
from provisioner.config.words import Word
from provisioner.core.errors import InvalidInput, NotFound
from provisioner.core.model import Instance, Node, NodeRequest, TimelineEvent
from provisioner.core.states import LIVE, InstanceState
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/instances", tags=["instances"], route_class=GuardedRoute)


class InstanceOrder(BaseModel):
    """key: name of a registered key pair; public_key: a key as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]  # RFC 1123 §2.1
    flavor: Word
    image: Word
    kernel: Annotated[Word | None, Field(description="In place of the image's own.")] = None
    ramdisk: Annotated[Word | None, Field(description="In place of the image's own.")] = None
    key: Word | None = None
    public_key: Annotated[str, Field(max_length=MAX_LINE_BYTES, pattern=r"^[^\x00]*$")] = ""
    user_data: Annotated[
        str,
        Field(
            max_length=instance_orders.MAX_USER_DATA_BYTES,
            pattern=r"^[^\x00]*$",
            description="16 KiB at most, as UTF-8.",
        ),
    ] = ""
    node: Word | None = None
    host: Annotated[Word | None, Field(description="Nodes of this compute host alone.")] = None
    zone: Annotated[Word, Field(description="Nodes of this zone alone.")] = ""
    proof_of_life: tuple[ProofOfLife, ...] = ()
    wipe: Literal["quick", "full"] = "quick"


class InstancePowerOrder(BaseModel):
    """stop: by its operating system, which has a minute for it, and then by its power; with `force` by its
    power at once."""

    model_config = ConfigDict(extra="forbid")

    change: Change
    force: bool = False


@router.post("", status_code=202)
async def create(context: Context, request: Request, order: InstanceOrder) -> Response:
    """Ask for a machine. The request is kept until it is ACTIVE, ERROR or deleted."""
    return await once(context, request, 202, lambda tx: instance_orders.create(tx, context, order))


@router.get("")
async def list_instances(
    context: Context,
    request: Request,
    limit: Limit = 100,
    after: After = None,
    state: InstanceState | None = None,
    deleted: bool = False,
    tenant: Word | None = None,
) -> Response:
    """Of its tenant; for operators, of all, or of `tenant`. deleted: those too."""
    states = tuple(InstanceState) if deleted else LIVE
    where: dict[str, object] = {"state": state or states}
    if tenant is not None or not context.who.oversees:
        wanted = context.who.tenant if tenant is None else tenant
        where["tenant"] = wanted if context.who.sees(wanted) else ()

    def read(tx: Tx) -> list[views.View]:
        found = tx.find(Instance, where=where, after=after, limit=limit)
        used = tuple(instance.node_id for instance in found if instance.node_id)
        picked = tx.pick(Node, "id", "name", "power_state", where={"id": used}) if used else ()
        nodes = {id: (name, seen) for id, name, seen in picked}
        orders = pending_orders(tx, used)
        told = []
        for one in found:
            name, seen = nodes.get(one.node_id or "", (None, None))
            told.append(views.instance(context.who, one, name, power_of(one, seen, orders.get(one.id))))
        return told

    return page(request, await context.store.transact(read), limit)


@router.get("/{instance}")
async def show(
    context: Context,
    instance: str,
    wait_s: Annotated[float, Query(ge=0, le=60)] = 0,
    until: Word = "active,error,deleted",
) -> Response:
    """One instance; with `wait_s`, as soon as it is in one of the states `until`, or after that time."""
    wanted = until.split(",")
    unknown = [word for word in wanted if word not in tuple(InstanceState)]
    if unknown:
        raise InvalidInput(
            "wait for an instance",
            field="until",
            answer=f"there is no state {unknown[0]!r}",
            advice=f"States: {', '.join(InstanceState)}",
        )
    found, view = await context.store.transact(lambda tx: _read(tx, context, instance))
    if wait_s and found.state not in wanted:
        with context.limits.open.one(context.who, f"wait for instance {found.name}"):
            view = await _wait(context, found.id, wanted, wait_s)
    return answer(view)


def _read(tx: Tx, context: ApiContext, instance: str) -> tuple[Instance, views.View]:
    found = find_instance(tx, context.who, instance)
    node = tx.get(Node, found.node_id) if found.node_id else None
    power = power_now(tx, found, node)
    view = views.instance(context.who, found, node.name if node else None, power)
    view["work"] = views.work(node.work, context.progress(node.id)) if node else None
    return found, view


async def _wait(context: ApiContext, instance_id: str, wanted: list[str], wait_s: float) -> views.View:
    end_s = context.clock.monotonic_s() + wait_s
    watch = context.store.watch(f"instance:{instance_id}")
    try:
        while True:
            found, view = await context.store.transact(lambda tx: _read(tx, context, instance_id))
            remaining_s = end_s - context.clock.monotonic_s()
            if found.state in wanted or remaining_s <= 0:
                return view
            await watch.wait(min(remaining_s, 1.0))
    finally:
        watch.close()


@router.get("/{instance}/timeline")
async def timeline(
    context: Context, request: Request, instance: str, limit: Limit = 1000, after: AfterEvent = 0
) -> Response:
    """Everything that happened to it, by whom it was seen; what power devices said, to operators alone."""

    def read(tx: Tx) -> list[views.View]:
        found = find_instance(tx, context.who, instance)
        listed = tx.find(TimelineEvent, where={"instance_id": found.id}, after=after, limit=limit)
        return views.events(context.who, listed, settled)

    settled = await context.store.settled(TimelineEvent)
    return page(request, await context.store.transact(read), limit)


@router.get("/{instance}/console")
async def console(
    context: Context, instance: str, tail_bytes: TailBytes = 65536, follow: Follow = False
) -> Response:
    """What its machine's serial console said; with `follow`, what it says from now on as well.
    Nothing once it is deleted: the machine may be another's."""
    found = await context.store.transact(lambda tx: find_instance(tx, context.who, instance))
    live = found.state is not InstanceState.DELETED
    return consoles.answer(context, found.node_id if live else None, tail_bytes, follow, found.id)


@router.post("/{instance}/power", status_code=202)
async def power(context: Context, request: Request, instance: str, order: InstancePowerOrder) -> Response:
    """Stop, start or restart its machine, which stays its own; the answer is in the request that this
    returns."""

    def ask(tx: Tx) -> views.View:
        found = find_instance(tx, context.who, instance)
        return instance_power.order(tx, context, found, order.change, force=order.force)

    return await once(context, request, 202, ask)


@router.get("/{instance}/requests/{request_id}")
async def show_request(context: Context, instance: str, request_id: str) -> Response:
    def read(tx: Tx) -> views.View:
        whose = find_instance(tx, context.who, instance).id
        found = tx.get(NodeRequest, request_id)
        if found is None or found.instance_id != whose:
            raise NotFound(f"find request {request_id}", answer=f"instance {instance} has no such request")
        return views.request(request_for(context.who, found))

    return answer(await context.store.transact(read))


@router.delete("/{instance}", status_code=202)
async def delete(context: Context, instance: str) -> Response:
    """Its machine is switched off, and it is `deleted`; then the machine is wiped, and offered again: its
    node's events tell."""
    return answer(
        await context.store.transact(lambda tx: instance_orders.delete(tx, context.who, instance)), 202
    )

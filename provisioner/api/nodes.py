"""/v1/nodes"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from provisioner.api import consoles, node_orders, views
from provisioner.api.answers import answer, page
from provisioner.api.consoles import Follow, TailBytes
from provisioner.api.context import After, AfterEvent, Context, Limit, find_node
from provisioner.api.once import once
from provisioner.api.rights import GuardedRoute
from provisioner.api.tenants import TenantName
from provisioner.config.node_file import KeptDisks, NodeEntry, Power, RootDevice
from provisioner.config.words import Line
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import Instance, Node, NodeRequest, Port, TimelineEvent
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/nodes", tags=["nodes"], route_class=GuardedRoute)


Unwiped = Annotated[
    bool, Query(description="Also when it owes a wipe: its disks may hold what its last instance left.")
]


Unplugged = Annotated[
    bool,
    Query(
        description="Also when its cleaning failed before its power device confirmed that it is off: "
        "somebody saw that the machine has no power. Its instance is deleted with it."
    ),
]


class Maintenance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Line = ""


class Reservation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[TenantName, Field(description="The only tenant that may have it.")]


class Disks(BaseModel):
    """As in the node's entry. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    root_device: RootDevice | None = None
    keep_disks: KeptDisks | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Disks:
        if self.root_device is None and self.keep_disks is None:
            raise ValueError("say root_device or keep_disks, or both")
        return self


class Cleaning(BaseModel):
    """A full wipe that the node owes its last instance isn't made a quick one."""

    model_config = ConfigDict(extra="forbid")

    wipe: Literal["quick", "full"] = "quick"


class PowerOrder(BaseModel):
    """shutdown: soft, and off when it doesn't within a minute. refresh: ask the device, change nothing."""

    model_config = ConfigDict(extra="forbid")

    verb: Literal["on", "off", "cycle", "reset", "soft", "shutdown", "refresh"]


@router.post("", status_code=201)
async def enrol(context: Context, request: Request, entry: NodeEntry) -> Response:
    """Enrol a node. Its power device is checked at once: watch its state."""

    return await _on_outlets(context, request, 201, lambda tx: node_orders.enrol(tx, context, entry))


async def _on_outlets(
    context: Context, request: Request, status: int, order: Callable[[Tx], views.View]
) -> Response:
    """An order that gives a node its outlets."""
    try:
        return await once(context, request, status, order)
    except Conflict as error:
        if error.tried != "add outlet":
            raise
        # Another was faster; now that it is stored, whose the outlet is can be told.
        return await once(context, request, status, order)


@router.get("")
async def list_nodes(
    context: Context,
    request: Request,
    limit: Limit = 100,
    after: After = None,
    state: ProvisionState | None = None,
) -> Response:
    def read(tx: Tx) -> list[views.View]:
        nodes = tx.find(Node, where={"state": state} if state else None, after=after, limit=limit)
        ports: dict[str, list[Port]] = {}
        for port in tx.find(Port, where={"node_id": tuple(node.id for node in nodes)}) if nodes else ():
            ports.setdefault(port.node_id, []).append(port)
        used = tuple(node.instance_id for node in nodes if node.instance_id)
        names = dict(tx.pick(Instance, "id", "name", where={"id": used})) if used else {}
        return [
            views.node(
                node,
                ports.get(node.id, ()),
                context.progress(node.id),
                names.get(node.instance_id or ""),
                context.silence(node),
            )
            for node in nodes
        ]

    return page(request, await context.store.transact(read), limit)


@router.get("/{node}")
async def show(context: Context, node: str) -> Response:
    def read(tx: Tx) -> views.View:
        found = find_node(tx, node)
        ports = tx.find(Port, where={"node_id": found.id})
        instance = tx.get(Instance, found.instance_id) if found.instance_id else None
        return views.node(
            found,
            ports,
            context.progress(found.id),
            instance.name if instance else None,
            context.silence(found),
        )

    return answer(await context.store.transact(read))


@router.delete("/{node}", status_code=204)
async def delete(
    context: Context, node: str, unwiped: Unwiped = False, unplugged: Unplugged = False
) -> Response:
    given = {"unwiped": unwiped, "unplugged": unplugged}
    if context.entry is not None and (said := [f"{name}=true" for name, so in given.items() if so]):
        context.entry.target += f"?{'&'.join(said)}"
    await context.store.transact(lambda tx: node_orders.delete(tx, node, **given))
    return Response(status_code=204)


@router.put("/{node}/maintenance")
async def maintenance_on(context: Context, node: str, order: Maintenance) -> Response:
    view = await context.store.transact(
        lambda tx: node_orders.set_maintenance(tx, node, on=True, reason=order.reason)
    )
    return answer(view)


@router.delete("/{node}/maintenance")
async def maintenance_off(context: Context, node: str) -> Response:
    return answer(
        await context.store.transact(lambda tx: node_orders.set_maintenance(tx, node, on=False, reason=""))
    )


@router.put("/{node}/reservation")
async def reserve(context: Context, node: str, order: Reservation) -> Response:
    """Keep the node for one tenant, from the next request on: an instance that has it keeps it."""
    return answer(await context.store.transact(lambda tx: node_orders.reserve(tx, node, order.tenant)))


@router.delete("/{node}/reservation")
async def unreserve(context: Context, node: str) -> Response:
    """Let any tenant have the node."""
    return answer(await context.store.transact(lambda tx: node_orders.reserve(tx, node, "")))


@router.put("/{node}/disks")
async def set_disks(context: Context, node: str, order: Disks) -> Response:
    """Correct which disk gets the node's instances, and which are kept. From its next work on."""
    view = await context.store.transact(
        lambda tx: node_orders.set_disks(tx, node, order.root_device, order.keep_disks)
    )
    return answer(view)


@router.put("/{node}/power-device")
async def set_power_device(context: Context, request: Request, node: str, power: Power) -> Response:
    """Correct how the node is switched: its device has another address or password, its cable another outlet.
    Of a node that is available, or whose enrolment failed, the device is checked at once: watch its state."""

    def order(tx: Tx) -> views.View:
        return node_orders.set_power_device(tx, context, node, power)

    return await _on_outlets(context, request, 200, order)


@router.post("/{node}/power", status_code=202)
async def power(context: Context, request: Request, node: str, order: PowerOrder) -> Response:
    """Ask the node's owner for a change of power; the answer is in the request that this returns."""
    return await once(
        context, request, 202, lambda tx: node_orders.ask(tx, context, node, f"power:{order.verb}")
    )


@router.get("/{node}/requests/{request_id}")
async def show_request(context: Context, node: str, request_id: str) -> Response:
    def read(tx: Tx) -> views.View:
        found = tx.get(NodeRequest, request_id)
        if found is None or found.node_id != find_node(tx, node).id:
            raise NotFound(f"find request {request_id}", answer=f"node {node} has no such request")
        return views.request(found)

    return answer(await context.store.transact(read))


@router.post("/{node}/verify", status_code=202)
async def verify(context: Context, request: Request, node: str) -> Response:
    """Check the node's power device again."""
    return await once(context, request, 202, lambda tx: node_orders.verify(tx, context, node))


@router.post("/{node}/clean", status_code=202)
async def clean(context: Context, request: Request, node: str, order: Cleaning | None = None) -> Response:
    """Wipe the disks of a node that is available, and learn what it is made of; or clean one again whose
    cleaning had failed."""
    wipe = (order or Cleaning()).wipe
    return await once(context, request, 202, lambda tx: node_orders.clean(tx, context, node, wipe=wipe))


@router.get("/{node}/events")
async def events(
    context: Context, request: Request, node: str, limit: Limit = 1000, after: AfterEvent = 0
) -> Response:
    """Everything that happened to it, by whom it was seen."""

    def read(tx: Tx) -> list[views.View]:
        found = find_node(tx, node)
        listed = tx.find(TimelineEvent, where={"node_id": found.id}, after=after, limit=limit)
        return views.events(context.who, listed, settled)

    settled = await context.store.settled(TimelineEvent)
    return page(request, await context.store.transact(read), limit)


@router.get("/{node}/console")
async def console(
    context: Context, node: str, tail_bytes: TailBytes = 65536, follow: Follow = False
) -> Response:
    """What its serial console said; with `follow`, what it says from now on as well."""
    found = await context.store.transact(lambda tx: find_node(tx, node))
    return consoles.answer(context, found.id, tail_bytes, follow)

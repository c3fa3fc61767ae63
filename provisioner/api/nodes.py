"""/v1/nodes"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from provisioner.api import node_orders, views
from provisioner.api.answers import answer, page
from provisioner.api.context import Context, checked_limit, find_node
from provisioner.api.once import once
from provisioner.config.node_file import NodeEntry
from provisioner.core.errors import NotFound
from provisioner.core.model import Node, NodeRequest, Port, TimelineEvent
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/nodes", tags=["nodes"])


class Maintenance(BaseModel):
    reason: str = ""


class PowerOrder(BaseModel):
    verb: Literal["on", "off", "cycle", "reset", "soft", "refresh"]


@router.post("", status_code=201)
async def enrol(context: Context, request: Request, entry: NodeEntry) -> Response:
    """Enrol a node. Its power device is checked at once: watch its state."""
    return await once(context, request, 201, lambda tx: node_orders.enrol(tx, context, entry))


@router.get("")
async def list_nodes(
    context: Context, limit: int = 100, after: str | None = None, state: ProvisionState | None = None
) -> Response:
    size = checked_limit(limit)

    def read(tx: Tx) -> list[views.View]:
        where = {"state": state} if state else None
        nodes = tx.find(Node, where=where, after=after, limit=size)
        ports: dict[str, list[Port]] = {}
        for port in tx.find(Port, where={"node_id": tuple(node.id for node in nodes)}) if nodes else ():
            ports.setdefault(port.node_id, []).append(port)
        return [views.node(node, ports.get(node.id, ()), context.progress(node.id)) for node in nodes]

    return page(await context.store.transact(read), "/v1/nodes", size)


@router.get("/{node}")
async def show(context: Context, node: str) -> Response:
    def read(tx: Tx) -> views.View:
        found = find_node(tx, node)
        ports = tx.find(Port, where={"node_id": found.id})
        return views.node(found, ports, context.progress(found.id))

    return answer(await context.store.transact(read))


@router.delete("/{node}", status_code=204)
async def delete(context: Context, node: str) -> Response:
    await context.store.transact(lambda tx: node_orders.delete(tx, node))
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
async def clean(context: Context, request: Request, node: str) -> Response:
    """Clean a node again whose cleaning had failed."""
    return await once(context, request, 202, lambda tx: node_orders.clean(tx, context, node))


@router.get("/{node}/events")
async def events(context: Context, node: str, limit: int = 1000, after: int = 0) -> Response:
    size = checked_limit(limit)

    def read(tx: Tx) -> list[views.View]:
        found = find_node(tx, node)
        listed = tx.find(TimelineEvent, where={"node_id": found.id}, after=after, limit=size)
        return [views.event(event) for event in listed]

    return page(await context.store.transact(read), f"/v1/nodes/{node}/events", size)


@router.get("/{node}/console")
async def console(
    context: Context, node: str, tail_bytes: Annotated[int, Query(ge=1, le=2**20)] = 65536
) -> Response:
    found = await context.store.transact(lambda tx: find_node(tx, node))
    text = context.consoles.text(found.id, tail_bytes=tail_bytes) if context.consoles else ""
    return PlainTextResponse(text)

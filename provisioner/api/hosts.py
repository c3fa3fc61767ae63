"""/v1/hosts"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer, page
from provisioner.api.capacity import offered_by
from provisioner.api.context import After, Context, Limit
from provisioner.api.rights import GuardedRoute
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import Host, Node
from provisioner.core.states import ACTING
from provisioner.protocols.store import Tx

router = APIRouter(prefix="/v1/hosts", tags=["hosts"], route_class=GuardedRoute)


@router.get("")
async def list_hosts(context: Context, request: Request, limit: Limit = 100, after: After = None) -> Response:
    """Compute hosts, with their leases and how many nodes each owns."""

    def read(tx: Tx) -> list[views.View]:
        return [_view(tx, host) for host in tx.find(Host, after=after, limit=limit)]

    return page(request, await context.store.transact(read), limit)


@router.get("/{host}")
async def show(context: Context, host: str) -> Response:
    return answer(await context.store.transact(lambda tx: _view(tx, _find(tx, host))))


@router.put("/{host}/drain")
async def drain(context: Context, host: str) -> Response:
    """Have the host hand its nodes over to others, each when its work has ended, and be given no more."""
    return answer(await context.store.transact(lambda tx: _set_draining(tx, host, on=True)))


@router.delete("/{host}/drain")
async def undrain(context: Context, host: str) -> Response:
    return answer(await context.store.transact(lambda tx: _set_draining(tx, host, on=False)))


@router.delete("/{host}", status_code=204)
async def forget(context: Context, host: str) -> Response:
    """Forget a host that is gone and owns nothing; one of this name may come again."""

    def remove(tx: Tx) -> None:
        view = _view(tx, _find(tx, host))
        if view["state"] != "gone" or view["nodes"]:
            why = f"it owns {view['nodes']} nodes" if view["nodes"] else "it is alive"
            raise Conflict(
                f"forget compute host {host}",
                answer=why,
                advice="Stop it first; its nodes go to the other hosts",
            )
        tx.delete(Host, host)

    await context.store.transact(remove)
    return Response(status_code=204)


def _find(tx: Tx, name: str) -> Host:
    found = tx.get(Host, name)
    if found is None:
        raise NotFound(f"find compute host {name}", answer="there is none of that name")
    return found


def _view(tx: Tx, host: Host) -> views.View:
    owned = tx.count(Node, where={"owner": host.id})
    working = tx.count(Node, where={"owner": host.id, "state": tuple(ACTING)})
    return views.host(host, tx.now(), owned, working, offered_by(tx, host))


def _set_draining(tx: Tx, name: str, *, on: bool) -> views.View:
    found = _find(tx, name)
    tx.update(Host, found.id, {"draining": on})
    tx.notify("hosts")
    return _view(tx, _find(tx, name))

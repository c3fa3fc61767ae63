"""/v1/hosts"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from provisioner.api import views
from provisioner.api.answers import answer, page
from provisioner.api.capacity import offered_by
from provisioner.api.context import After, ApiContext, Context, Limit
from provisioner.api.rights import GuardedRoute
from provisioner.core.errors import Conflict, NotFound
from provisioner.core.model import Host, Node
from provisioner.core.states import ACTING
from provisioner.protocols.store import Tx

MOST_WAITED_S, LOOK_S = 20.0, 0.5

router = APIRouter(prefix="/v1/hosts", tags=["hosts"], route_class=GuardedRoute)


@router.get("")
async def list_hosts(context: Context, request: Request, limit: Limit = 100, after: After = None) -> Response:
    """Compute hosts, with their leases and how many nodes each owns."""

    def read(tx: Tx) -> list[views.View]:
        return [_view(context, tx, host) for host in tx.find(Host, after=after, limit=limit)]

    return page(request, await context.store.transact(read), limit)


@router.get("/{host}")
async def show(context: Context, host: str) -> Response:
    return answer(await context.store.transact(lambda tx: _view(context, tx, _find(tx, host))))


@router.put("/{host}/drain")
async def drain(context: Context, host: str) -> Response:
    """Have the host hand its nodes over to others, each when its work has ended, and be given no more."""
    return answer(await context.store.transact(lambda tx: _set_draining(context, tx, host, on=True)))


@router.delete("/{host}/drain")
async def undrain(context: Context, host: str) -> Response:
    return answer(await context.store.transact(lambda tx: _set_draining(context, tx, host, on=False)))


@router.delete("/{host}", status_code=204)
async def forget(context: Context, host: str) -> Response:
    """Forget a host that is gone and owns nothing; one of this name may come again. One that was seen for
    the first time is watched for the time of its lease: the clock that its last renewal is told by may have
    been set meanwhile."""
    until_s = context.clock.monotonic_s() + MOST_WAITED_S

    def remove(tx: Tx) -> None:
        found = _find(tx, host)
        left, owned = context.left(found, tx), tx.count(Node, where={"owner": host})
        if left.left_s or owned:
            raise Conflict(
                f"forget compute host {host}",
                answer=f"it owns {owned} nodes" if owned else "it is alive",
                advice="Stop it first; its nodes go to the other hosts",
            )
        if not left.certain:
            raise _MayLive(found.ttl_ms / 1000)
        tx.delete(Host, host)

    while True:
        try:
            await context.store.transact(remove)
            return Response(status_code=204)
        except _MayLive as error:
            if context.clock.monotonic_s() >= until_s:
                raise Conflict(
                    f"forget compute host {host}",
                    answer=f"that it is gone can't be told before its lease of {error.lease_s:.0f} s is over",
                    advice="Ask again then",
                ) from None
            await context.clock.sleep(min(LOOK_S, error.lease_s / 10))


class _MayLive(Exception):
    """Nothing was changed."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s


def _find(tx: Tx, name: str) -> Host:
    found = tx.get(Host, name)
    if found is None:
        raise NotFound(f"find compute host {name}", answer="there is none of that name")
    return found


def _view(context: ApiContext, tx: Tx, host: Host) -> views.View:
    left_s = context.left(host, tx).left_s
    owned = tx.count(Node, where={"owner": host.id})
    working = tx.count(Node, where={"owner": host.id, "state": tuple(ACTING)})
    return views.host(host, left_s, owned, working, offered_by(tx, host) if left_s else None)


def _set_draining(context: ApiContext, tx: Tx, name: str, *, on: bool) -> views.View:
    found = _find(tx, name)
    tx.update(Host, found.id, {"draining": on})
    tx.notify("hosts")
    return _view(context, tx, _find(tx, name))

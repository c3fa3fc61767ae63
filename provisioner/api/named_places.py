"""The zone and the compute host that a request names: it would wait for ever for one that isn't there."""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.api.visible_nodes import nodes_of
from provisioner.core.errors import NotFound
from provisioner.core.model import Host, Node
from provisioner.core.roles import Principal
from provisioner.core.zones import DEFAULT
from provisioner.protocols.store import Tx

MOST_TOLD = 20
"""Names, when one isn't there."""


def check_places(tx: Tx, who: Principal, *, zone: str, host: str | None) -> None:
    """Raises NotFound for a zone in which nobody has a node that `who` may know of, and for an unknown host.
    What there is, is told to those who oversee it. Empty: any."""
    if zone and not _is_zone(tx, who, zone):
        there = {name or DEFAULT for (name,) in tx.pick(Node, "zone")} if who.oversees else ()
        raise NotFound(f"find zone {zone}", answer="no node is in it", advice=_advice("zone", there))
    if host and tx.get(Host, host) is None:
        known = (id for (id,) in tx.pick(Host, "id")) if who.oversees else ()
        raise NotFound(
            f"find compute host {host}", answer="there is none of that name", advice=_advice("host", known)
        )


def _is_zone(tx: Tx, who: Principal, zone: str) -> bool:
    """A place without nodes has one all the same."""
    nodes = nodes_of(who)
    names = (zone, "") if zone == DEFAULT else zone
    found = tx.pick(Node, "id", where={**nodes, "zone": names}, limit=1)
    return bool(found) or (zone == DEFAULT and not tx.pick(Node, "id", where=nodes, limit=1))


def _advice(what: str, there: Iterable[str]) -> str:
    names = sorted(there)
    if not names:
        return f"Name no {what}, or one that there is"
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return f"There are: {', '.join(names[:MOST_TOLD])}{more}"

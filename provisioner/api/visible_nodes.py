"""Finding nodes as whoever asks may know of them: those kept for another tenant aren't there, but for who
oversees them."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.api.context import by_id_or_name
from provisioner.core.errors import NotFound
from provisioner.core.model import Node
from provisioner.core.reservation import is_kept_from, open_to
from provisioner.core.roles import Principal
from provisioner.protocols.store import Tx


def nodes_of(who: Principal) -> Mapping[str, object]:
    """The condition on them."""
    return {} if who.oversees else open_to(who.tenant)


def find_node(tx: Tx, who: Principal, id_or_name: str) -> Node:
    """By id or name. Raises NotFound, word by word the same for one that is kept for another tenant."""
    found = by_id_or_name(tx, Node, "node", id_or_name)
    if not who.oversees and is_kept_from(found, who.tenant):
        raise NotFound(f"find node {id_or_name}", answer="there is no such node")
    return found

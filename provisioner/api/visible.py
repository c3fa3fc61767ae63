"""Finding what somebody may see. What they may not see is told of as if it weren't there: it doesn't hide
what they gave its id as a name, either."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provisioner.api.image_shares import images_shared_with, is_shared
from provisioner.core.errors import Conflict, Forbidden, NotFound
from provisioner.core.model import Image, Instance
from provisioner.core.roles import Principal
from provisioner.core.states import LIVE, InstanceState
from provisioner.protocols.store import Tx

ASKED_BY_ID = 1000


def find_instance(tx: Tx, who: Principal, id_or_name: str) -> Instance:
    """By id, or the one of that name that isn't deleted, or the last one that was. Raises NotFound, for what
    isn't theirs to see too; Conflict when tenants that `who` oversees have several of that name."""
    found = tx.get(Instance, id_or_name)
    if found is None or not who.sees(found.tenant):
        found = _of_name(tx, {"name": id_or_name, "tenant": who.tenant})
        if found is None and who.oversees:
            found = _of_name(tx, {"name": id_or_name})
    if found is None:
        raise NotFound(f"find instance {id_or_name}", answer="there is no such instance")
    return found


def _of_name(tx: Tx, named: Mapping[str, str]) -> Instance | None:
    """Who makes instances and deletes them, again and again by one name, leaves thousands that are deleted:
    of those the last one alone is read."""
    live = tx.find(Instance, where={**named, "state": LIVE})
    if len(live) > 1:
        raise _ambiguous("instance", named["name"], (one.tenant for one in live))
    if live:
        return live[0]
    gone = tx.pick(Instance, "created_at", "id", where={**named, "state": InstanceState.DELETED})
    return tx.get(Instance, max(gone)[1]) if gone else None


def find_image(tx: Tx, who: Principal, id_or_name: str) -> Image:
    """By id or name; of a name, their own tenant's before a public one, and that before one that is shared
    with them alone. Raises as `find_instance`."""
    found = tx.get(Image, id_or_name)
    if found is None or not is_visible(tx, who, found):
        named = tx.find(Image, where={"name": id_or_name})
        own = [one for one in named if one.tenant == who.tenant]
        seen = own or [one for one in named if one.public]
        seen = seen or [one for one in named if who.oversees or is_shared(tx, one, who.tenant)]
        if len(seen) > 1:
            raise _ambiguous("image", id_or_name, (one.tenant for one in seen))
        found = seen[0] if seen else None
    if found is None:
        raise NotFound(f"find image {id_or_name}", answer="there is no such image")
    return found


def is_visible(tx: Tx, who: Principal, image: Image) -> bool:
    return image.public or who.sees(image.tenant) or is_shared(tx, image, who.tenant)


def find_own_image(tx: Tx, who: Principal, id_or_name: str) -> Image:
    """One that they may change. Raises as `find_image`; Forbidden for one that is only shared with them."""
    found = find_image(tx, who, id_or_name)
    if not who.oversees and (found.public or found.tenant != who.tenant):
        raise Forbidden(
            f"change image {found.name}",
            answer="it is shared with all tenants" if found.public else "it is another tenant's",
            advice="Ask an operator, or register an image of your own",
        )
    return found


def images_of(tx: Tx, tenant: str, *, after: str | None = None, limit: int | None = None) -> list[Image]:
    """Those that are public, the tenant's, or shared with it, by id."""
    own = tx.find(Image, where={"public": False, "tenant": tenant}, after=after, limit=limit)
    found = own + tx.find(Image, where={"public": True}, after=after, limit=limit)
    found += _shared(tx, tenant, after, limit)
    return sorted({image.id: image for image in found}.values(), key=lambda image: image.id)[:limit]


def _shared(tx: Tx, tenant: str, after: str | None, limit: int | None) -> list[Image]:
    """Others decide how many are shared with a tenant, and a condition has so many alternatives."""
    ids = sorted(id for id in images_shared_with(tx, tenant) if after is None or id > after)
    found: list[Image] = []
    for start in range(0, len(ids), ASKED_BY_ID):
        if limit is not None and len(found) >= limit:
            break
        found += tx.find(Image, where={"id": tuple(ids[start : start + ASKED_BY_ID])}, limit=limit)
    return found


def _ambiguous(what: str, name: str, tenants: Iterable[str]) -> Conflict:
    told = ", ".join(sorted(tenants))
    return Conflict(f"find {what} {name}", answer=f"there is one of each: {told}", advice="Give its id")

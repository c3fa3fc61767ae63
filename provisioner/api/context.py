"""What the handlers share."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Query, Request

from provisioner.api.address_pool import AddressPool
from provisioner.api.metrics import Metrics
from provisioner.api.timeline_pruning import TimelinePolicy
from provisioner.core.errors import NotFound
from provisioner.core.model import AccessKey, ApiToken, ImageKind, Instance, Node, Record
from provisioner.core.states import InstanceState
from provisioner.protocols.clock import Clock
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.ids import Ids
from provisioner.protocols.image import StoredImage
from provisioner.protocols.power import DeviceSilence
from provisioner.protocols.store import Store, Tx

R = TypeVar("R", bound=Record)
T = TypeVar("T")

TOKEN_CACHE_S = 10.0
"""A revoked token may be accepted for this long."""


class ImageSaver(Protocol):
    """`services.image_store.ImageStore`, as far as the API needs it."""

    async def save(
        self,
        chunks: Any,
        *,
        format: str,
        kind: ImageKind,
        expected_sha256: str | None,
        max_bytes: int,
        size_bytes: int | None = None,
    ) -> StoredImage: ...

    async def fetch(
        self, url: str, *, format: str, kind: ImageKind, expected_sha256: str | None, max_bytes: int
    ) -> StoredImage: ...

    async def delete(self, sha256: str) -> None: ...

    def path(self, sha256: str) -> Path: ...


class Aside(Protocol):
    """Has work done that takes time: in a thread, in production."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


async def at_once(work: Callable[[], T], /) -> T:
    """For models in virtual time, in which it takes none."""
    return work()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAccessKey:
    """An access key as it was read at `read_at` of the store's clock, which was `read_s` of ours."""

    tenant: str
    secret: str = field(repr=False)
    read_at: datetime
    read_s: float


@dataclass(slots=True, kw_only=True)
class ApiContext:
    """progress: live progress of a node's step, 0.0…1.0. silence: of its power device, while that is left
    alone; both only where a compute host runs in this process. blobs: held while it is decided whether the
    bytes of an image are needed any longer. images_queued: set when there may be something to fetch.
    region: what EC2 clients are told that this place is called. quotas: how many instances each tenant may
    have, see `provisioner.api.quotas`."""

    store: Store
    ids: Ids
    clock: Clock
    images: ImageSaver
    seal: Callable[[str], str]
    unseal: Callable[[str], str]
    pool: AddressPool
    power_drivers: frozenset[str]
    metrics: Metrics
    deploy_drivers: frozenset[str] = frozenset({"iscsi"})
    region: str = "metal"
    quotas: Mapping[str, int] = field(default_factory=dict)
    aside: Aside = at_once
    consoles: ConsoleBook | None = None
    progress: Callable[[str], float | None] = lambda node_id: None
    silence: Callable[[Node], DeviceSilence | None] = lambda node: None
    ready: Callable[[], bool] = lambda: True
    timeline: TimelinePolicy = field(default_factory=TimelinePolicy)
    blobs: asyncio.Lock = field(default_factory=asyncio.Lock)
    images_queued: asyncio.Event = field(default_factory=asyncio.Event)
    tokens: dict[str, float] = field(default_factory=dict)
    access_keys: dict[str, KnownAccessKey] = field(default_factory=dict)

    async def accepts(self, token: str) -> bool:
        """Whether this API token is one of ours. Looked up by its hash: comparing takes no secret."""
        digest = hash_token(token)
        now_s = self.clock.monotonic_s()
        if self.tokens.get(digest, -1.0) > now_s:
            return True
        known = await self.store.transact(lambda tx: tx.get(ApiToken, digest))
        if known is None:
            self.tokens.pop(digest, None)
            return False
        self.tokens[digest] = now_s + TOKEN_CACHE_S
        return True

    async def access_key(self, id: str) -> KnownAccessKey | None:
        """The access key of this id, in the clear. One that was deleted elsewhere may be known for
        TOKEN_CACHE_S."""
        now_s = self.clock.monotonic_s()
        known = self.access_keys.get(id)
        if known is not None and now_s < known.read_s + TOKEN_CACHE_S:
            return known
        found, now = await self.store.transact(lambda tx: (tx.get(AccessKey, id), tx.now()))
        if found is None:
            self.access_keys.pop(id, None)
            return None
        secret = self.unseal(found.secret_sealed)
        known = KnownAccessKey(tenant=found.tenant, secret=secret, read_at=now, read_s=now_s)
        self.access_keys[id] = known
        return known


def hash_token(token: str) -> str:
    """How a token is stored. It has 128 random bits, so that a plain hash can't be searched."""
    return hashlib.sha256(token.encode()).hexdigest()


async def context_of(request: Request) -> ApiContext:
    # async although it awaits nothing: FastAPI would send any other to a thread, for each request.
    found: ApiContext = request.app.state.context
    return found


Context = Annotated[ApiContext, Depends(context_of)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]
After = Annotated[str | None, Query(description="Begin after the item with this id.")]
AfterEvent = Annotated[int, Query(description="Begin after the event with this id.")]


def by_id_or_name(tx: Tx, kind: type[R], what: str, id_or_name: str) -> R:
    """The record with this id or name. Raises NotFound."""
    found = tx.get(kind, id_or_name)
    if found is None:
        found = next(iter(tx.find(kind, where={"name": id_or_name}, limit=1)), None)
    if found is None:
        raise NotFound(f"find {what} {id_or_name}", answer=f"there is no such {what}")
    return found


def find_node(tx: Tx, id_or_name: str) -> Node:
    return by_id_or_name(tx, Node, "node", id_or_name)


def find_instance(tx: Tx, id_or_name: str) -> Instance:
    """By id, or the one of that name that isn't deleted, or the last one that was."""
    found = tx.get(Instance, id_or_name)
    if found is not None:
        return found
    named = tx.find(Instance, where={"name": id_or_name})
    named.sort(key=lambda one: (one.state is not InstanceState.DELETED, one.created_at))
    if not named:
        raise NotFound(f"find instance {id_or_name}", answer="there is no such instance")
    return named[-1]

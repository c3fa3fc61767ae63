"""What the handlers share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import structlog
from fastapi import Depends, Query, Request

from provisioner.api.address_pool import AddressPool
from provisioner.api.audit import AuditedStore, AuditPolicy, Entry
from provisioner.api.credentials import (
    Known,
    KnownAccessKey,
    hash_token,
    owner_of_key,
    owner_of_token,
)
from provisioner.api.limits import LimitPolicy, Limits
from provisioner.api.line import Line
from provisioner.api.metrics import Metrics
from provisioner.api.timeline_pruning import TimelinePolicy
from provisioner.config.words import Word
from provisioner.core.errors import NotFound, PermanentError, TransientError
from provisioner.core.fields import changed
from provisioner.core.model import Host, ImageKind, Node, Record
from provisioner.core.public_address import AddressPolicy
from provisioner.core.roles import NOBODY, Principal
from provisioner.core.seen_leases import Left, SeenLeases
from provisioner.protocols.clock import Clock
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.ids import Ids
from provisioner.protocols.image import StoredImage
from provisioner.protocols.power import DeviceSilence
from provisioner.protocols.store import Store, Tx

log = structlog.get_logger(__name__)

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class ImageSaver(Protocol):
    """`services.image_store.ImageStore`, as far as the API needs it."""

    async def save(
        self,
        chunks: Any,
        *,
        format: str,
        kind: ImageKind,
        arch: str = "",
        expected_sha256: str | None,
        max_bytes: int,
        size_bytes: int | None = None,
        then: Callable[[StoredImage], Awaitable[None]] | None = None,
    ) -> StoredImage: ...

    async def fetch(
        self,
        url: str,
        *,
        format: str,
        kind: ImageKind,
        arch: str = "",
        expected_sha256: str | None,
        max_bytes: int,
        allows: Callable[[str], bool] | None = None,
        then: Callable[[StoredImage], Awaitable[None]] | None = None,
    ) -> StoredImage: ...

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Entered by one at a time, of the tasks of all processes that use the store, while it is decided
        whether bytes are needed any longer. Raises TransientError when its turn doesn't come."""
        ...

    def receiving(self, image_id: str) -> AbstractAsyncContextManager[None]:
        """Entered by one at a time, of the tasks of all processes, as long as this image's bytes come: who is
        in it lives. Raises BeingReceived while another one is; and what `alone` does."""
        ...

    async def delete(self, sha256: str) -> None: ...

    def path(self, sha256: str) -> Path: ...


class Aside(Protocol):
    """Has work done that takes time: in a thread, in production."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


async def at_once(work: Callable[[], T], /) -> T:
    """For models in virtual time, in which it takes none."""
    return work()


@dataclass(slots=True, kw_only=True)
class ApiContext:
    """progress: live progress of a node's step, 0.0…1.0. silence: of its power device, while that is left
    alone; both only where a compute host runs in this process. image_urls: where members' images may come
    from. images_queued: set when there may be something to fetch.
    region: what EC2 clients are told that this place is called. quotas: how many instances each tenant may
    have, see `provisioner.api.quotas`. line: of those who
    have every node looked at, and orders_line: of those who order machines, a hundred at once if need be.
    who: sent the request that this is the context of, by `token`, if it is one of REST's. entry: what will be
    recorded of it."""

    store: Store
    ids: Ids
    clock: Clock
    images: ImageSaver
    seal: Callable[[str], str]
    unseal: Callable[[str], str]
    pool: AddressPool
    power_drivers: frozenset[str]
    metrics: Metrics
    leases: SeenLeases = field(default_factory=SeenLeases)
    deploy_drivers: frozenset[str] = frozenset({"iscsi"})
    region: str = "metal"
    image_urls: AddressPolicy = field(default_factory=AddressPolicy)
    quotas: Mapping[str, int] = field(default_factory=dict)
    aside: Aside = at_once
    consoles: ConsoleBook | None = None
    progress: Callable[[str], float | None] = lambda node_id: None
    silence: Callable[[Node], DeviceSilence | None] = lambda node: None
    ready: Callable[[], bool] = lambda: True
    timeline: TimelinePolicy = field(default_factory=TimelinePolicy)
    images_queued: asyncio.Event = field(default_factory=asyncio.Event)
    tokens: Known[Principal] = field(default_factory=Known)
    access_keys: Known[KnownAccessKey] = field(default_factory=Known)
    audit: AuditPolicy = field(default_factory=AuditPolicy)
    limits: Limits = field(default_factory=lambda: Limits(LimitPolicy()))
    line: Line = field(default_factory=Line)
    orders_line: Line = field(default_factory=lambda: Line(most=512, most_of_one=128))
    who: Principal = NOBODY
    token: str = field(default="", repr=False)
    entry: Entry | None = None

    def left(self, host: Host, tx: Tx) -> Left:
        """Of the host's lease, as this process has seen it."""
        return self.leases.look(host, tx.now(), self.clock.monotonic_s())

    def of(self, who: Principal, entry: Entry | None = None, token: str = "") -> ApiContext:
        """The context of one request, which is recorded by `entry` if it changes something; all else is
        shared."""
        store = self.store if entry is None else AuditedStore(self.store, entry)
        return changed(self, who=who, token=token, entry=entry, store=store)

    async def still_holds(self) -> bool:
        """Whether the token of a request that goes on for long still means what it meant at its beginning."""
        return await self.owner_of(self.token) == self.who

    async def owner_of(self, token: str) -> Principal | None:
        """Whose API token this is. Looked up by its hash: comparing takes no secret."""
        digest = hash_token(token)
        now_s = self.clock.monotonic_s()
        known = self.tokens.fresh(digest, now_s)
        if known is not None:
            return known
        who = await self.store.transact(lambda tx: owner_of_token(tx, digest))
        if who is None:
            self.tokens.gone(digest)
            return None
        self.tokens.put(digest, who, now_s)
        return who

    def knows(self, token: str) -> bool:
        """Whether it was a token of ours when it was last looked up."""
        return hash_token(token) in self.tokens

    async def access_key(self, id: str) -> KnownAccessKey | None:
        """The access key of this id, in the clear. One that is deleted elsewhere may be known for CACHE_S."""
        now_s = self.clock.monotonic_s()
        known = self.access_keys.fresh(id, now_s)
        if known is not None:
            return known
        found = await self.store.transact(lambda tx: owner_of_key(tx, id))
        if found is None:
            self.access_keys.gone(id)
            return None
        key, who, now = found
        try:
            secret = self.unseal(key.secret_sealed)
        except PermanentError as error:
            # Who asks hasn't proven anything yet, and key files are no business of theirs.
            log.error("access_key.not_opened", id=id, cause=error.message)
            raise TransientError("check the access key", answer="it can't be read now") from None
        known = KnownAccessKey(who=who, secret=secret, read_at=now, read_s=now_s)
        self.access_keys.put(id, known, now_s)
        return known

    def forget_credentials(self) -> None:
        """They are read anew: a token, a key, or the role of its user has changed. Who was known stays known
        to be somebody, whatever wrong ones come from the same address."""
        now_s = self.clock.monotonic_s()
        self.tokens.read_anew(now_s)
        self.access_keys.read_anew(now_s)


async def context_of(request: Request) -> ApiContext:
    # async although it awaits nothing: FastAPI would send any other to a thread, for each request.
    context: ApiContext = request.app.state.context
    state = request.scope.get("state", {})
    who = state.get("who")
    return context if who is None else context.of(who, state.get("entry"), state.get("token", ""))


Context = Annotated[ApiContext, Depends(context_of)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]
After = Annotated[Word | None, Query(description="Begin after the item with this id.")]
AfterEvent = Annotated[int, Query(ge=0, le=2**62, description="Begin after the event with this id.")]


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

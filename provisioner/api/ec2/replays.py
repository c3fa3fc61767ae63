"""Signed requests that come again: those that somebody read, and sends once more."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from provisioner.api.context import ApiContext
from provisioner.api.ec2.errors import Ec2Error, too_many
from provisioner.api.ec2.signature import MAX_SKEW_S, TIME_FORMAT
from provisioner.api.housekeeping import BATCH, SIGNED
from provisioner.core.model import IdempotencyRecord
from provisioner.core.roles import Principal
from provisioner.protocols.store import Tx

REPEAT_S = 2.0
"""Clients that ask for the same thing twice in a second send the same request: a signature has a time in
seconds, and nothing else of its own. How much later the second of them may come."""

MAX_REMEMBERED = 1_000_000
"""Signatures; some 150 bytes each."""


@dataclass(frozen=True, slots=True)
class Proven:
    """Who sent a request, what tells it from others, when it says it was signed, and when it came, by the
    store's clock."""

    who: Principal
    signature: str
    signed: str
    now: datetime

    def check(self, first: datetime, *, once: bool) -> None:
        """first: when it came before. Raises Ec2Error when it may not come again: at all (`once`), or later
        than REPEAT_S."""
        if once or self.now - first > timedelta(seconds=REPEAT_S):
            raise Ec2Error("RequestExpired", "This very request was accepted already: sign it anew")


class Replays:
    """Signatures that this process accepted, until they are too old to be accepted anyway."""

    def __init__(self) -> None:
        self._first: OrderedDict[str, datetime] = OrderedDict()

    def accept(self, proven: Proven, *, once: bool) -> None:
        """Raises Ec2Error when the request may not come again, and when too many are remembered."""
        # Signed at most MAX_SKEW_S after it was accepted: too old that long after that.
        self._forget(proven.now - timedelta(seconds=2 * MAX_SKEW_S))
        first = self._first.get(proven.signature)
        if first is not None:
            proven.check(first, once=once)
        elif len(self._first) >= MAX_REMEMBERED:
            raise too_many()
        self._first.setdefault(proven.signature, proven.now)

    def _forget(self, until: datetime) -> None:
        while self._first and next(iter(self._first.values())) < until:
            self._first.popitem(last=False)


def accept_anywhere(tx: Tx, proven: Proven, *, once: bool) -> tuple[IdempotencyRecord, ...]:
    """In the transaction that does what the request asks for: what another process did, or this one before
    its restart, isn't done again. Says what is to be inserted there, when that was done: a transaction that
    fails after it wrote costs those that are stored together with it. Raises Ec2Error when the request may
    not come again."""
    # By when they were signed: those that are too old come first, and are forgotten without a look at others.
    id = f"{SIGNED}{proven.signed} {hashlib.sha256(proven.signature.encode()).hexdigest()}"
    known = tx.get(IdempotencyRecord, id)
    if known is None:
        return (IdempotencyRecord(id=id, request_sha256="", status=0, body="", created_at=proven.now),)
    proven.check(known.created_at, once=once)
    return ()


async def forget_old_signatures(context: ApiContext) -> None:
    """Those that are too old to be accepted anyway, by as much as the store's clock may be put back. Raises
    what the store raises."""

    # Each batch after the last one: databases take a while until they pass over what was deleted.
    after: str | None = SIGNED

    def forget(tx: Tx) -> str | None:
        until = (tx.now() - timedelta(seconds=2 * MAX_SKEW_S)).astimezone(UTC)
        found = tx.pick(IdempotencyRecord, "id", after=after, limit=BATCH)
        old = [id for (id,) in found if id < f"{SIGNED}{until:{TIME_FORMAT}}"]
        for id in old:
            tx.delete(IdempotencyRecord, id)
        return old[-1] if len(old) == BATCH else None

    while after is not None:
        after = await context.store.transact(forget)

"""Who did what: each request that changes something, and each that somebody had no right to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from provisioner.core.model import AuditRecord, Record
from provisioner.core.roles import Principal
from provisioner.protocols.store import Store, Tx, Watch

T = TypeVar("T")

DONE, REFUSED = "done", "refused"
MAX_TARGET = 512
"""Letters: a path may have any length, and a request may name a thousand ids."""

BATCH = 500
"""Records removed in one transaction: bounds how long others wait for the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPolicy:
    """keep_s: records are kept for so long, and keep_records of them, the newest"""

    keep_s: float = 365 * 86_400.0
    keep_records: int = 1_000_000


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request, until it is recorded. made: id of what it makes."""

    who: Principal
    operation: str
    target: str
    address: str
    request_id: str
    made: str = ""

    def record(self, at: datetime, outcome: str) -> AuditRecord:
        target = f"{self.target}/{self.made}" if self.made else self.target
        return AuditRecord(
            at=at,
            tenant=self.who.tenant,
            user_id=self.who.user,
            credential=self.who.credential,
            address=self.address,
            operation=self.operation,
            target=target[:MAX_TARGET],
            outcome=outcome,
            request_id=self.request_id,
        )


class AuditedStore:
    """The store as one request sees it: what its first transaction does is recorded in that transaction."""

    def __init__(self, store: Store, entry: Entry) -> None:
        self._store = store
        self._entry = entry
        self._recorded = False

    async def transact(self, work: Callable[[Tx], T]) -> T:
        if self._recorded:
            return await self._store.transact(work)
        entry = self._entry

        def recorded(tx: Tx) -> T:
            done = work(tx)
            if isinstance(done, Mapping) and "id" in done:
                entry.made = str(done["id"])
            tx.insert(entry.record(tx.now(), DONE))
            return done

        done = await self._store.transact(recorded)
        self._recorded = True
        return done

    async def transact_first(self, work: Callable[[Tx], T]) -> T:
        return await self.transact(work)  # no request is that urgent

    async def settled(self, kind: type[Record]) -> int:
        return await self._store.settled(kind)

    def watch(self, *topics: str) -> Watch:
        return self._store.watch(*topics)

    async def close(self) -> None:
        await self._store.close()


async def forget_old_records(store: Store, policy: AuditPolicy) -> None:
    """Raises what the store raises."""

    def forget(tx: Tx) -> bool:
        found = tx.find(AuditRecord, limit=BATCH)
        since = tx.now() - timedelta(seconds=policy.keep_s)
        excess = tx.count(AuditRecord) - policy.keep_records
        doomed = [one for place, one in enumerate(found) if place < excess or one.at < since]
        for record in doomed:
            tx.delete(AuditRecord, record.id)
        return len(doomed) == BATCH

    while await store.transact(forget):
        pass

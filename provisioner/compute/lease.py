"""A compute host's lease: taken, renewed every third of its life, and asked before hardware is touched."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog

from provisioner.core.errors import Conflict, LeaseLost, TransientError
from provisioner.core.lease import Lease
from provisioner.core.model import Host
from provisioner.protocols.clock import Clock
from provisioner.protocols.store import Store, Tx

log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Holds one host's lease.

    holder: who acts under the host's name, such as the state folder that the process has locked. A lease that
    was left behind by the same holder needn't be waited for: its process is dead.
    """

    def __init__(self, store: Store, clock: Clock, host: str, ttl_s: float, *, holder: str) -> None:
        self._store = store
        self._clock = clock
        self._host = host
        self._ttl_s = ttl_s
        self._holder = holder
        self._lease: Lease | None = None
        self._renewing = asyncio.Lock()

    @property
    def host(self) -> str:
        return self._host

    @property
    def alive(self) -> bool:
        return self._lease is not None and self._lease.covers(self._clock.monotonic_s(), 0)

    async def acquire(self) -> Lease:
        """Takes the lease. Raises Conflict when another holder of this name has a live one."""

        def take(tx: Tx) -> int | None:
            now = tx.now()
            row = tx.get(Host, self._host)
            taken: dict[str, Any] = {
                "holder": self._holder,
                "expires_at": now + timedelta(seconds=self._ttl_s),
                "renewed_at": now,
                "started_at": now,
                "leaving": False,
            }
            tx.notify("hosts")
            if row is None:
                tx.insert(Host(id=self._host, epoch=1, **taken))
                return 1
            if row.expires_at > now and row.holder != self._holder:
                return None
            taken["epoch"] = row.epoch + 1
            return row.epoch + 1 if tx.update(Host, self._host, taken, expect={"epoch": row.epoch}) else None

        asked_at_s = self._clock.monotonic_s()
        epoch = await self._store.transact(take)
        if epoch is None:
            raise Conflict(
                f"start compute host {self._host}",
                answer="another process holds a live lease under this name",
                advice=f"Give this one another host.name; or wait {self._ttl_s:.0f} s if it has died",
            )
        self._lease = Lease(self._host, epoch, self._ttl_s, asked_at_s)
        return self._lease

    async def keep(self) -> None:
        """Renews until cancelled. Raises LeaseLost when someone else took the name, or when the lease ran
        out before the store could be reached again: what this host was doing must stop at once."""
        while True:
            lease = self._held()
            now_s = self._clock.monotonic_s()
            pause_s = max(lease.retry_every_s, lease.asked_at_s + lease.renew_every_s - now_s)
            await self._clock.sleep(min(pause_s, lease.ends_at_s - now_s))
            self._held()
            try:
                await self._renew(lease.renew_every_s)
            except (TransientError, TimeoutError) as error:
                log.warning("lease.renewal_failed", host=self._host, error=str(error))

    async def cover(self, duration_s: float) -> None:
        """Raises LeaseLost unless something that takes at most `duration_s` ends before the lease does. It is
        renewed before its time if need be."""
        if self._held().covers(self._clock.monotonic_s(), duration_s):
            return
        try:
            await self._renew(duration_s)
        except (TransientError, TimeoutError) as error:
            log.warning("lease.renewal_failed", host=self._host, error=str(error))
        if not self._held().covers(self._clock.monotonic_s(), duration_s):
            raise LeaseLost(
                f"start a hardware command of up to {duration_s:.1f} s",
                device=f"compute host {self._host}",
                answer="the lease ends sooner",
            )

    async def leave(self) -> None:
        """Nothing more is given to this host, which is about to end."""

        def leave(tx: Tx) -> None:
            tx.update(Host, self._host, {"leaving": True}, expect={"epoch": self._held().epoch})
            tx.notify("hosts")

        await self._store.transact(leave)

    async def release(self) -> None:
        """Gives the lease back, so that nobody has to wait for it to run out."""
        lease, self._lease = self._lease, None
        if lease is None:
            return

        def end(tx: Tx) -> None:
            tx.update(Host, self._host, {"expires_at": tx.now()}, expect={"epoch": lease.epoch})
            tx.notify("hosts")

        await self._store.transact(end)

    async def _renew(self, within_s: float) -> None:
        """Raises LeaseLost, TransientError, TimeoutError."""
        before = self._held()
        async with asyncio.timeout(within_s), self._renewing:
            lease = self._held()
            if lease is not before:
                return  # others had waited for the same
            asked_at_s = self._clock.monotonic_s()
            renewed = await self._store.transact(self._prolong)
        if not renewed:
            self._lease = None
            raise LeaseLost("renew the lease", device=f"compute host {self._host}", answer="it was taken")
        self._lease = Lease(self._host, lease.epoch, self._ttl_s, asked_at_s)

    def _prolong(self, tx: Tx) -> bool:
        """Also when it has run out by the store's clock: who takes a dead host's nodes raises its epoch."""
        now = tx.now()
        fields = {"expires_at": now + timedelta(seconds=self._ttl_s), "renewed_at": now}
        return tx.update(Host, self._host, fields, expect={"epoch": self._held().epoch})

    def _held(self) -> Lease:
        lease = self._lease
        if lease is None or not lease.covers(self._clock.monotonic_s(), 0):
            raise LeaseLost("act", device=f"compute host {self._host}", answer="the lease has run out")
        return lease

"""A compute host's lease: taken, renewed well before its end, and asked before hardware is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import structlog

from provisioner.compute.membership import Membership
from provisioner.core.errors import Conflict, LeaseLost, TransientError
from provisioner.core.lease import Lease
from provisioner.core.model import Host
from provisioner.protocols.clock import Clock
from provisioner.protocols.store import Store, Tx

log = structlog.get_logger(__name__)


FIRST_TRY = 0.75
"""Of the time that is left, an attempt to renew may take so much: a slow store is waited for, and one whose
answer was lost is asked once more."""


class LeaseKeeper:
    """Holds one host's lease.

    holder: who acts under the host's name, such as the state folder that the process has locked. A lease that
    was left behind by the same holder needn't be waited for: its process is dead. What devices were told by
    that one is: until it must have been carried out they are told and asked nothing.
    longest_command_s: of all devices; left out: what fits into the lease, as all commands do
    lasts_until: told of each new end of the lease, in monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        host: str,
        ttl_s: float,
        *,
        holder: str,
        longest_command_s: float | None = None,
        lasts_until: Callable[[float], None] = lambda ends_at_s: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._host = host
        self._ttl_s = ttl_s
        self._holder = holder
        self._longest_command_s = ttl_s if longest_command_s is None else longest_command_s
        self._lasts_until = lasts_until
        self._lease: Lease | None = None
        self._beat = 0
        """Another one with each attempt under a lease: of one whose answer was lost nobody knows what it has
        written, and a beat that is written twice would be seen as one."""
        self._renewing = asyncio.Lock()
        self._busy_until_s = self._forerunner_until_s = -inf
        """When devices have done what they were told under this lease, and under the one before."""
        self.others = Membership(host)
        """Seen with each renewal; anew with each lease."""
        self.renewed = asyncio.Event()
        """For whoever waits for the next one, and clears it before."""

    @property
    def host(self) -> str:
        return self._host

    @property
    def ttl_s(self) -> float:
        return self._ttl_s

    @property
    def longest_command_s(self) -> float:
        """What any device may take to carry out a command, whatever becomes of whoever sent it."""
        return self._longest_command_s

    @property
    def alive(self) -> bool:
        return self._lease is not None and self._lease.covers(self._clock.monotonic_s(), 0)

    async def acquire(self) -> Lease:
        """Takes the lease; waits for the end of one that another holder of this name has left behind. Raises
        Conflict when that one is being renewed."""
        membership = Membership("")
        # Whoever was away with the store, as we were, has the time of a lease to come back.
        self.others = Membership(self._host)
        left_behind = False

        def take(tx: Tx) -> tuple[int, float]:
            nonlocal left_behind
            now = tx.now()
            row = tx.get(Host, self._host)
            taken: dict[str, Any] = {
                "beat": 0,
                "ttl_ms": round(1000 * self._ttl_s),
                "holder": self._holder,
                "renewed_at": now,
                "started_at": now,
                "released": False,
                "leaving": False,
            }
            if row is None:
                tx.notify("hosts")
                tx.insert(Host(id=self._host, epoch=1, **taken))
                return 1, 0.0
            membership.observe((row,), self._clock.monotonic_s())
            left_s = membership.left_s(row, self._clock.monotonic_s())
            if row.holder != self._holder and left_s:
                return row.beat, left_s
            left_behind = bool(left_s)
            taken["epoch"] = row.epoch + 1
            if not tx.update(Host, self._host, taken, expect={"epoch": row.epoch, "beat": row.beat}):
                return row.beat, self._ttl_s  # somebody was faster: look again
            tx.notify("hosts")
            return row.epoch + 1, 0.0

        beat: int | None = None
        while True:
            asked_at_s = self._clock.monotonic_s()
            found, left_s = await self._store.transact_first(take)
            if not left_s:
                break
            if beat is not None and found != beat:
                raise Conflict(
                    f"start compute host {self._host}",
                    answer="another process holds a lease under this name, and renews it",
                    advice="Give this one another host.name",
                )
            beat = found
            await self._clock.sleep(min(left_s, self._ttl_s / 10))
        self._beat = 0
        if left_behind:
            self._forerunner_until_s = asked_at_s + self._longest_command_s
        return self._hold(found, asked_at_s)

    async def keep(self) -> None:
        """Renews until cancelled. Raises LeaseLost when someone else took the name, or when the lease is
        about to run out and the store could not be reached: what this host was doing must stop at once."""
        while True:
            lease = self._held()
            now_s = self._clock.monotonic_s()
            renew_at_s = max(now_s + lease.retry_every_s, lease.asked_at_s + lease.renew_every_s)
            await self._clock.sleep(min(renew_at_s, lease.leave_by_s) - now_s)
            lease = self._held()
            left_s = lease.leave_by_s - self._clock.monotonic_s()
            if left_s <= 0:
                self._lease = None
                raise self._run_out("keep the lease")
            try:
                await self._renew(FIRST_TRY * left_s)
            except TransientError as error:
                log.warning("lease.renewal_failed", host=self._host, error=error.message)

    async def cover(self, duration_s: float, *, changes: bool = True) -> None:
        """Raises LeaseLost unless something that takes at most `duration_s` ends before the lease does. It is
        renewed before its time if need be. Returns when nothing that a forerunner began can be in its way.

        changes: a device may carry it out until then, whatever becomes of whoever sent it
        """
        await self._comes_to(self._forerunner_until_s)
        if not self._held().covers(self._clock.monotonic_s(), duration_s):
            try:
                await self._renew(duration_s)
            except TransientError as error:
                log.warning("lease.renewal_failed", host=self._host, error=error.message)
        now_s = self._clock.monotonic_s()
        if not self._held().covers(now_s, duration_s):
            raise LeaseLost(
                f"start a hardware command of up to {duration_s:.1f} s",
                device=f"compute host {self._host}",
                answer="the lease ends sooner",
            )
        if changes:
            self._busy_until_s = max(self._busy_until_s, now_s + duration_s)

    async def commands_end(self) -> None:
        """Returns when no device can be carrying out a command any more that this lease has covered until
        now: within the longest of them, before the lease runs out. What is begun meanwhile isn't awaited."""
        await self._comes_to(self._busy_until_s)

    async def _comes_to(self, until_s: float) -> None:
        while (left_s := until_s - self._clock.monotonic_s()) > 0:
            await self._clock.sleep(left_s)

    async def leave(self) -> None:
        """Nothing more is given to this host, which is about to end."""

        def leave(tx: Tx) -> None:
            tx.update(Host, self._host, {"leaving": True}, expect=self._ours(self._held().epoch))
            tx.notify("hosts")

        await self._store.transact(leave)

    async def release(self) -> None:
        """Gives the lease back, so that nobody has to wait for it to run out. Others act at once: after
        `commands_end` alone."""
        lease, self._lease = self._lease, None
        if lease is None:
            return

        def end(tx: Tx) -> None:
            tx.update(Host, self._host, {"released": True}, expect=self._ours(lease.epoch))
            tx.notify("hosts")

        await self._store.transact(end)

    async def _renew(self, within_s: float) -> None:
        """Raises LeaseLost, TransientError."""
        try:
            async with asyncio.timeout(within_s):
                await self._renew_in_turn()
        except TimeoutError:
            raise TransientError(
                "renew the lease", answer=f"the store was silent for {within_s:.1f} s"
            ) from None

    async def _renew_in_turn(self) -> None:
        before = self._held()
        async with self._renewing:
            lease = self._held()
            if lease is not before:
                return  # others had waited for the same
            # Never both in one transaction: of hosts that read each other's rows and write their own at once,
            # the database lets one through, and where it is far the others' turn would never come. What was
            # not seen isn't held: whoever can't look takes nobody for dead.
            await self._store.transact_first(self._look)
            lease = self._held()  # what ran out meanwhile doesn't come back: the name may be another's
            asked_at_s = self._clock.monotonic_s()
            self._beat = beat = self._beat + 1
            renewed = await self._store.transact_first(lambda tx: self._prolong(tx, lease.epoch, beat))
        if not renewed:
            self._lease = None
            raise LeaseLost("renew the lease", device=f"compute host {self._host}", answer="it was taken")
        self._hold(lease.epoch, asked_at_s)

    def _look(self, tx: Tx) -> None:
        self.others.observe(tx.find(Host), self._clock.monotonic_s())

    def _prolong(self, tx: Tx, epoch: int, beat: int) -> bool:
        """Who takes a dead host's nodes raises its epoch; that of a forgotten one another holder may have."""
        beats = {"beat": beat, "renewed_at": tx.now()}
        return tx.update(Host, self._host, beats, expect=self._ours(epoch))

    def _ours(self, epoch: int) -> dict[str, Any]:
        return {"epoch": epoch, "holder": self._holder}

    def _hold(self, epoch: int, asked_at_s: float) -> Lease:
        self._lease = lease = Lease(self._host, epoch, self._ttl_s, asked_at_s)
        self._lasts_until(lease.ends_at_s)
        self.renewed.set()
        return lease

    def _held(self) -> Lease:
        lease = self._lease
        if lease is None or not lease.covers(self._clock.monotonic_s(), 0):
            raise self._run_out("act")
        return lease

    def _run_out(self, tried: str) -> LeaseLost:
        return LeaseLost(tried, device=f"compute host {self._host}", answer="the lease has run out")

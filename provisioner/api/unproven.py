"""Requests that nobody could be held to (no token, a wrong one, a wrong signature), in the audit log.

Few records for however many requests: who sends them isn't known to be anybody, and could fill the log up, so
that it forgets what others did.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.model import AuditRecord
from provisioner.core.roles import NOBODY, Principal
from provisioner.protocols.clock import Clock
from provisioner.protocols.ids import Ids
from provisioner.protocols.store import Store

log = structlog.get_logger(__name__)

OUTCOME = "unproven"
WINDOW_S = 60.0
KINDS = 10
"""Kinds that are recorded each in a window; all others are counted together. At most twice as many records
come of a window, and one."""

MAX_TARGET = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Of one kind are those that are equal. who: the owner of an access key that didn't sign it. Nothing of
    what is none of our credentials: it may be another secret, sent here by mistake."""

    operation: str
    address: str
    who: Principal = NOBODY


class Unproven:
    """Of one process."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._more: dict[Attempt, int] = {}
        self._others = 0
        self._begun = asyncio.Event()

    async def tell(self, attempt: Attempt, target: str) -> None:
        """Never fails itself: the refusal stands."""
        self._begun.set()
        if attempt in self._more:
            self._more[attempt] += 1
        elif len(self._more) >= KINDS:
            self._others += 1
        else:
            self._more[attempt] = 0
            await self._record([(attempt, target[:MAX_TARGET])])

    async def run(self) -> None:
        """Until cancelled: tells at the end of each window how many more there were."""
        while True:
            await self._begun.wait()
            await self._clock.sleep(WINDOW_S)
            await self.close_window()

    async def close_window(self) -> None:
        more, others = self._more, self._others
        self._more, self._others = {}, 0
        self._begun.clear()
        within = f"more within {WINDOW_S:.0f} s"
        told = [(attempt, f"{count} {within}") for attempt, count in more.items() if count]
        if others:
            nobody = Attempt(operation="authenticate", address="")
            told.append((nobody, f"{others} {within}, of other kinds"))
        if told:
            await self._record(told)

    async def _record(self, told: list[tuple[Attempt, str]]) -> None:
        request_id = self._ids.uuid()
        try:
            await self._store.transact(
                lambda tx: tx.insert(
                    *(
                        AuditRecord(
                            at=tx.now(),
                            tenant=attempt.who.tenant,
                            user_id=attempt.who.user,
                            credential=attempt.who.credential,
                            address=attempt.address,
                            operation=attempt.operation,
                            target=target,
                            outcome=OUTCOME,
                            request_id=request_id,
                        )
                        for attempt, target in told
                    )
                )
            )
        except ProvisionerError as error:
            log.warning("audit.not_recorded", outcome=OUTCOME, cause=error.message)

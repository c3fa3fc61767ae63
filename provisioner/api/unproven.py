"""Requests that nobody could be held to (no token, a wrong one, a wrong signature), in the audit log.

Few records for however many requests: who sends them isn't known to be anybody, and could fill the log up, so
that it forgets what others did.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from provisioner.api.window import WITHIN, Counts, Window
from provisioner.core.errors import ProvisionerError
from provisioner.core.model import AuditRecord
from provisioner.core.roles import NOBODY, Principal
from provisioner.protocols.clock import Clock
from provisioner.protocols.ids import Ids
from provisioner.protocols.store import Store

log = structlog.get_logger(__name__)

OUTCOME = "unproven"
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
        self._ids = ids
        self._counts = Counts[Attempt](KINDS)
        self._window = Window(clock)

    async def tell(self, attempt: Attempt, target: str) -> None:
        """Never fails itself: the refusal stands."""
        self._window.open()
        if self._counts.add(attempt) == 1:
            await self._record([(attempt, target[:MAX_TARGET])])

    async def run(self) -> None:
        """Until cancelled: tells at the end of each window how many more there were."""
        await self._window.run(self.close_window)

    async def close_window(self) -> None:
        counts, self._counts = self._counts, Counts(KINDS)
        self._window.closed()
        told = [(attempt, f"{count - 1} {WITHIN}") for attempt, count in counts.kinds.items() if count > 1]
        if counts.others:
            nobody = Attempt(operation="authenticate", address="")
            told.append((nobody, f"{counts.others} {WITHIN}, of other kinds"))
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
        except Exception as error:  # whatever the store raises, the refusal stands
            log.warning(
                "audit.not_recorded",
                outcome=OUTCOME,
                cause=str(error),
                exc_info=not isinstance(error, ProvisionerError),
            )

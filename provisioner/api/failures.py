"""Requests that were refused, or failed, in the audit log: of each credential a few as they are, and of what
comes beyond that how many there were.

Whoever asks for what they may not, again and again, would else fill the log up, so that it forgets what
others did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from provisioner.api.audit import Entry
from provisioner.api.window import WITHIN, Counts, Window
from provisioner.core.errors import ProvisionerError
from provisioner.core.roles import Principal
from provisioner.protocols.clock import Clock
from provisioner.protocols.ids import Ids
from provisioner.protocols.store import Store

log = structlog.get_logger(__name__)

EACH = 20
"""Of a credential, recorded each in a window."""

KINDS = 10
"""Of a credential, counted each in a window; all others are counted together."""

VARIOUS = "various"
"""The operation, and the outcome after `failed:`, of those that are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    operation: str
    outcome: str
    address: str


@dataclass(slots=True)
class _Told:
    """Of one credential, in this window."""

    each: int = 0
    more: Counts[_Kind] = field(default_factory=lambda: Counts(KINDS))


class Failures:
    """Of one process."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._ids = ids
        self._told: dict[Principal, _Told] = {}
        self._window = Window(clock)

    async def tell(self, entry: Entry, outcome: str) -> None:
        """Of a request that changed nothing, or not all that it should have. Never fails itself: its answer
        stands."""
        self._window.open()
        told = self._told.setdefault(entry.who, _Told())
        if told.each < EACH:
            told.each += 1
            await self._record([(entry, outcome)])
        else:
            told.more.add(_Kind(operation=entry.operation, outcome=outcome, address=entry.address))

    async def run(self) -> None:
        """Until cancelled: tells at the end of each window how many more there were."""
        await self._window.run(self.close_window)

    async def close_window(self) -> None:
        ended, self._told = self._told, {}
        self._window.closed()
        counted = [one for who, told in ended.items() for one in self._counted(who, told.more)]
        if counted:
            await self._record(counted)

    def _counted(self, who: Principal, more: Counts[_Kind]) -> Iterator[tuple[Entry, str]]:
        for kind, count in more.kinds.items():
            yield self._entry(who, kind, f"{count} {WITHIN}"), kind.outcome
        if more.others:
            others = _Kind(operation=VARIOUS, outcome=f"failed:{VARIOUS}", address="")
            yield self._entry(who, others, f"{more.others} {WITHIN}, of other kinds"), others.outcome

    def _entry(self, who: Principal, kind: _Kind, target: str) -> Entry:
        return Entry(
            who=who,
            operation=kind.operation,
            target=target,
            address=kind.address,
            request_id=self._ids.uuid(),
        )

    async def _record(self, told: list[tuple[Entry, str]]) -> None:
        try:
            await self._store.transact(
                lambda tx: tx.insert(*(entry.record(tx.now(), outcome) for entry, outcome in told))
            )
        except Exception as error:  # whatever the store raises, the answers stand
            for entry, outcome in told:
                log.warning(
                    "audit.not_recorded",
                    request=entry.request_id,
                    outcome=outcome,
                    cause=str(error),
                    exc_info=not isinstance(error, ProvisionerError),
                )

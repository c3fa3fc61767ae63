"""What is asked of a PDU: what waits for its turn, and what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.core.pdus.family import Oid
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Value


@dataclass(slots=True, eq=False)
class Reading:
    """answer: values, or what is raised in their place. by: who asked. kept_until_s: of whom nobody waits
    for; None: somebody does."""

    tried: str
    by: object
    credentials: Credentials
    oids: Sequence[Oid]
    answer: asyncio.Future[list[Value] | Exception]
    kept_until_s: float | None = None

    def stale(self, now_s: float) -> bool:
        return self.kept_until_s is not None and self.kept_until_s <= now_s


@dataclass(slots=True, eq=False)
class Command:
    """turn: done when it may be sent."""

    credentials: Credentials
    turn: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class UnderWay:
    """A read. deadline: when it is given up."""

    credentials: Credentials
    sent_s: float
    deadline: asyncio.Timeout

    def end_by(self, until_s: float) -> None:
        """No later than it would."""
        deadline_s = self.deadline.when()
        if deadline_s is not None and until_s < deadline_s and not self.deadline.expired():
            self.deadline.reschedule(until_s)

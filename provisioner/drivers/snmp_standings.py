"""What a PDU's silence means, by whose credentials it was asked.

A wrong community is not answered, and nobody is by a dead PDU. So silence to credentials that the PDU has
answered slows everybody down, as it is the PDU's. To others it is their own: theirs alone are the longer
waits and the pauses that come of it, and nobody else is told of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from provisioner.core.pdu_pace import Pace
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import advice_on_silence

NEVER = float("-inf")

DOUBTED_S = 10.0
"""After a silence to credentials in doubt, where the PDU answers others: they aren't asked for so long, and
whoever is in doubt is asked last. Of a quick PDU its only turn is theirs for 2.5 s in 12.5 s then."""

MOST_CREDENTIALS = 64
"""Of one PDU, that are remembered."""


@dataclass(slots=True, eq=False)
class Standing:
    """Of one's credentials with one PDU.

    heard_s: when they were last answered. silent_since_s: when the first message since then was sent.
    not_before_s: they are to be asked. pace: what came of their own silence
    """

    advice: str
    heard_s: float = NEVER
    silent_since_s: float | None = None
    not_before_s: float = NEVER
    pace: Pace = field(default_factory=Pace)


class Standings:
    """Of all who ask one PDU. pace: the PDU's. Times by one clock, whichever."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._of: dict[Credentials, Standing] = {}
        self._doubted_until_s = NEVER
        self._silent_since_s: float | None = None  # to credentials that it has answered

    def of(self, credentials: Credentials) -> Standing:
        standing = self._of.get(credentials)
        if standing is None:
            if len(self._of) >= MOST_CREDENTIALS:
                del self._of[min(self._of, key=lambda one: self._of[one].heard_s)]
            standing = self._of[credentials] = Standing(advice_on_silence(credentials))
        return standing

    def forget_silence(self, now_s: float) -> None:
        """now_s: by another clock than until now."""
        for standing in self._of.values():
            standing.silent_since_s = None
            standing.not_before_s = NEVER
            standing.heard_s = min(standing.heard_s, now_s)
        self._doubted_until_s = NEVER
        self._silent_since_s = None

    def first(self, waiting: Sequence[Standing], now_s: float) -> int | None:
        """Which of these is asked now; None: none of them yet."""
        may = [place for place, one in enumerate(waiting) if one.not_before_s <= now_s]
        if now_s < self._doubted_until_s:
            may.sort(key=lambda place: self.in_doubt(waiting[place]))
        return may[0] if may else None

    def in_doubt(self, standing: Standing) -> bool:
        """Whether silence to them is likely to be their own: never answered, or not since others were."""
        if standing.heard_s == NEVER:
            return True
        since_s = standing.silent_since_s
        return since_s is not None and since_s < self._others_heard_s(standing)

    def promises(self, standing: Standing) -> bool:
        """Whether an answer to them may be expected: nothing speaks against it."""
        return standing.silent_since_s is None or not self.in_doubt(standing)

    def give_up_s(self, standing: Standing, *, others_wait: bool) -> float:
        """After which a message to it counts as lost."""
        if others_wait or not self.in_doubt(standing):
            return self.pace.give_up_s
        return max(self.pace.give_up_s, standing.pace.give_up_s)

    def silent_since_s(self, standing: Standing) -> float | None:
        """None: nothing says that it wouldn't answer them. Its silence to others that it has answered counts
        for all but those whose own is likely to be theirs."""
        own, others = standing.silent_since_s, self._silent_since_s
        if own is None or others is None:
            return others if own is None else own
        return own if self.in_doubt(standing) else min(own, others)

    def sent(self, standing: Standing, now_s: float) -> None:
        if standing.silent_since_s is None:
            standing.silent_since_s = now_s

    def silent(self, standing: Standing, now_s: float, chance: float) -> None:
        """chance: evenly from 0 to 1"""
        if not self.in_doubt(standing):
            self.pace.silent()
            if self._silent_since_s is None:
                self._silent_since_s = standing.silent_since_s
            return
        standing.pace.silent()
        standing.not_before_s = now_s + standing.pace.pause_s(chance)
        if self._others_heard_s(standing) > NEVER:
            standing.not_before_s = self._doubted_until_s = now_s + DOUBTED_S

    def answered(self, standing: Standing, sent_s: float, now_s: float) -> None:
        if max(one.heard_s for one in self._of.values()) == NEVER:
            self.pace = standing.pace  # what was its own silence until now was the PDU's
        standing.pace = Pace()
        self._silent_since_s = None
        standing.heard_s, standing.silent_since_s, standing.not_before_s = now_s, None, NEVER
        self.pace.answered(now_s - sent_s)

    def _others_heard_s(self, standing: Standing) -> float:
        return max((one.heard_s for one in self._of.values() if one is not standing), default=NEVER)

"""How fast a PDU is asked, by how long it takes to answer.

Several compute hosts may ask one PDU, which serves one message at a time and knows nothing of who has given
up. They can't see each other, but in the time that answers take. So each does what hosts on a shared wire do:
it waits longer where answers come late, and leaves a pause that grows, of a length that is left to chance,
where the PDU is crowded or silent.
"""

from __future__ import annotations

from collections import deque

MESSAGE_S = 2.5
"""How long an answer is waited for, of a PDU that isn't known to be slow."""

LONGEST_ANSWER_S = 16.0
"""The same at most, doubled by each silence: messages that are given up are served all the same, and who
gives up sooner than all hosts' messages are served keeps them waiting for ever. A PDU that has been dead is
found again that much later."""

CROWDED_S, CROWDED = 1.0, 1.5
"""An answer that took longer than so many seconds, and than so many times the quickest one lately: others ask
as well."""

LONGEST_PAUSE_S = 4.0
"""Before chance makes half of it, or half as much again."""

LATELY = 8
"""Answers."""


class Pace:
    """Of one PDU."""

    def __init__(self) -> None:
        self.give_up_s = MESSAGE_S
        """When a message counts as lost."""
        self._took_s: deque[float] = deque(maxlen=LATELY)
        self._strain = 0
        self.pauses = False
        """Whether there is a pause before the next message."""

    @property
    def answer_s(self) -> float:
        """How long the last answer took; 0: there was none yet."""
        return self._took_s[-1] if self._took_s else 0.0

    def answered(self, took_s: float) -> None:
        quick_s = min(self._took_s, default=took_s)
        self._took_s.append(took_s)
        self.pauses = took_s > max(CROWDED_S, CROWDED * quick_s)
        self._strain = self._strain + 1 if self.pauses else max(0, self._strain - 1)
        self.give_up_s = min(max(MESSAGE_S, 2 * took_s), LONGEST_ANSWER_S)

    def silent(self) -> None:
        self.pauses = True
        self._strain += 1
        self.give_up_s = min(2 * self.give_up_s, LONGEST_ANSWER_S)

    def pause_s(self, chance: float) -> float:
        """Before the next message. chance: evenly from 0 to 1."""
        if not self.pauses:
            return 0.0
        quick_s = max(min(self._took_s, default=1.0), 0.5)
        return (0.5 + chance) * min(quick_s * 2.0 ** min(self._strain - 1, 10), LONGEST_PAUSE_S)

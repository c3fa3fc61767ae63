"""The session slots of a BMC."""

from __future__ import annotations

from typing import Any

from pyghmi.ipmi.private.session import Session

from bmsim.faces.rmcp import Stage, StrictSession

MAX_SESSIONS = 16

IDLE_S = 60.0
"""§6.12.15: a session without a packet for this long is closed."""

LOGIN_S = 10.0
"""A login that isn't finished by then is forgotten; it held a slot that others may need."""


class Sessions:
    """By the identifier that the BMC gave, not as pyghmi has it, by the client's address and port."""

    def __init__(self) -> None:
        self._by_number: dict[int, StrictSession] = {}

    def has_room(self) -> bool:
        """Makes some by forgetting the oldest unfinished login, where there is one."""
        if len(self._by_number) < MAX_SESSIONS:
            return True
        unfinished = [each for each in self._by_number.values() if each.stage is not Stage.ESTABLISHED]
        if unfinished:
            self.remove(min(unfinished, key=lambda each: float(each.last_packet_s)))
        return bool(unfinished)

    def add(self, session: StrictSession) -> None:
        self._by_number[session.number] = session

    def get(self, number: int, sender: Any) -> StrictSession | None:
        session = self._by_number.get(number)
        return session if session is not None and session.sockaddr == sender else None

    def remove(self, session: StrictSession) -> None:
        self._by_number.pop(session.number, None)

    def clear(self) -> None:
        self._by_number.clear()

    def expired(self, now_s: float) -> list[StrictSession]:
        """Those whose time is up; they are removed."""
        gone = [
            each
            for each in self._by_number.values()
            if now_s - each.last_packet_s > (IDLE_S if each.stage is Stage.ESTABLISHED else LOGIN_S)
        ]
        for session in gone:
            self.remove(session)
        return gone


def forget_in_pyghmi(sender: Any) -> None:
    """pyghmi keeps every session for ever in a table of its own, which we don't use."""
    Session.bmc_handlers.pop(sender, None)

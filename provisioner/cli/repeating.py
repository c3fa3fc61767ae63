"""Requests that are sent again when their answer is lost: how often, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from provisioner.cli.exits import CliError

T = TypeVar("T")

FIRST_PAUSE_S = 0.25
MOST_PAUSE_S = 2.0  # each is twice the one before, up to this
GIVEN_UP_S = 10.0
"""After the first failure: the API's restart takes a few seconds."""


class Unanswered(CliError):
    """arrived: the request may have, and may have been carried out. after_s: not to be sent again before."""

    def __init__(self, message: str, code: int, *, arrived: bool, after_s: float = 0.0) -> None:
        super().__init__(message, code)
        self.arrived = arrived
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Patience:
    sleep: Callable[[float], None] = time.sleep
    monotonic_s: Callable[[], float] = time.monotonic

    def repeated(self, send: Callable[[], T], *, met: bool) -> T:
        """For requests that may be carried out twice, or have a key. met: the API answered before; where it
        never did and can't be reached, that is told at once. Raises the last Unanswered, `arrived` if any
        did."""
        pause_s, end_s, arrived = FIRST_PAUSE_S, inf, False
        while True:
            try:
                return send()
            except Unanswered as error:
                arrived = error.arrived = arrived or error.arrived
                now_s = self.monotonic_s()
                end_s = min(end_s, now_s + GIVEN_UP_S)
                wait_s = max(pause_s, error.after_s)
                if not (met or arrived) or now_s + wait_s > end_s:
                    raise
            self.sleep(wait_s)
            pause_s = min(2 * pause_s, MOST_PAUSE_S)

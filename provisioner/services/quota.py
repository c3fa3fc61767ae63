"""Keeps what strangers can cause small: so many per key and time, for a bounded number of keys."""

from __future__ import annotations

from collections import OrderedDict

from provisioner.protocols.clock import Clock


class Quota:
    """Admits one per `every_s` and key."""

    def __init__(self, clock: Clock, *, every_s: float, max_keys: int = 4096) -> None:
        self._clock = clock
        self._every_s = every_s
        self._max_keys = max_keys
        self._last: OrderedDict[str, float] = OrderedDict()

    def admits(self, key: str) -> bool:
        now_s = self._clock.monotonic_s()
        last_s = self._last.get(key)
        if last_s is not None and now_s - last_s < self._every_s:
            return False
        self._last[key] = now_s
        self._last.move_to_end(key)
        if len(self._last) > self._max_keys:
            self._last.popitem(last=False)
        return True

"""How much is taken from whom: requests of each user, and those that are kept open; wrong credentials of each
address; bytes of a body; instances that wait for a node."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from provisioner.core.errors import TooManyRequests
from provisioner.core.roles import Principal

MAX_BUCKETS = 10_000
"""Of each kind; some 200 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy:
    """requests_per_s, request_burst: of one user, or of an access key that is a tenant's; None: any number.
    open_requests: of one user, that wait for an instance or follow a console.
    failures_per_minute: wrong credentials from one address, and as many at once.
    waiting_instances: of a tenant without a quota; or as many as there are nodes, if those are more."""

    requests_per_s: float | None = None
    request_burst: int = 1
    open_requests: int = 50
    failures_per_minute: int = 60
    body_bytes: int = 2**20
    waiting_instances: int = 1000


class Buckets:
    """Token buckets by name. One that isn't used fills up, and a full one needn't be kept: so what is
    forgotten first is what was used longest ago."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now_s: float) -> float:
        """0 when there was something to take; else the seconds until there is."""
        left = self._left(name, now_s)
        taken = left >= 1.0
        self._buckets[name] = (left - 1.0 if taken else left, now_s)
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1.0 - left) / self._rate_per_s

    def wait_s(self, name: str, now_s: float) -> float:
        """What `take` would answer; takes nothing."""
        left = self._left(name, now_s)
        return 0.0 if left >= 1.0 else (1.0 - left) / self._rate_per_s

    def _left(self, name: str, now_s: float) -> float:
        left, at_s = self._buckets.get(name, (self._burst, now_s))
        return min(self._burst, left + (now_s - at_s) * self._rate_per_s)

    def __len__(self) -> int:
        return len(self._buckets)


class OpenRequests:
    """Those that are answered once something happens, or go on while their client stays: each asks the store
    again and again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: Counter[str] = Counter()

    @contextmanager
    def one(self, who: Principal, what: str) -> Iterator[None]:
        """While it is open. Raises TooManyRequests."""
        if self._of[name_of(who)] >= self._most:
            raise TooManyRequests(
                what,
                answer=f"{self._most} requests of this user wait for an instance or follow a console",
                advice="End some, or have `api.limits.open_requests` of the configuration raised",
            )
        self._of[name_of(who)] += 1
        try:
            yield
        finally:
            self._of[name_of(who)] -= 1
            if not self._of[name_of(who)]:
                del self._of[name_of(who)]

    def __len__(self) -> int:
        return self._of.total()


class Limits:
    """Of one process."""

    def __init__(self, policy: LimitPolicy) -> None:
        self.policy = policy
        rate = policy.requests_per_s
        self.requests = Buckets(rate, policy.request_burst) if rate is not None else None
        self.open = OpenRequests(policy.open_requests)
        self.failures = Buckets(policy.failures_per_minute / 60, policy.failures_per_minute)

    def request(self, who: Principal, now_s: float) -> float:
        """Takes one; seconds until there is one, or 0."""
        if self.requests is None:
            return 0.0
        return self.requests.take(name_of(who), now_s)


def name_of(who: Principal) -> str:
    """Under which it is counted what is taken: of a user, or of an access key that is a tenant's."""
    return who.user or who.credential


def retry_after(wait_s: float) -> dict[str, str]:
    """RFC 9110 §10.2.3: whole seconds, so that it isn't too early."""
    return {"Retry-After": str(math.ceil(wait_s))}

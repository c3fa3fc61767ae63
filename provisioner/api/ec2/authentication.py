"""Who sent a request: the tenant whose access key signed it, a short time ago, and never before."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from provisioner.api.context import ApiContext, KnownAccessKey
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.signature import Claim, proves, read_claim

MAX_SKEW_S = 300.0
MAX_REMEMBERED = 1_000_000
"""Signatures; some 150 bytes each."""


class Replays:
    """Signatures that were accepted, until they are too old to be accepted anyway."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._order: deque[tuple[datetime, str]] = deque()

    def remember(self, signature: str, now: datetime) -> None:
        """Raises Ec2Error when it was accepted before, or too many are remembered."""
        while self._order and self._order[0][0] < now:
            self._known.discard(self._order.popleft()[1])
        if signature in self._known:
            raise Ec2Error("RequestExpired", "This very request was accepted already: sign it anew")
        if len(self._order) >= MAX_REMEMBERED:
            raise Ec2Error("RequestLimitExceeded", "Request limit exceeded.", 503)
        self._known.add(signature)
        # Signed at most MAX_SKEW_S after now: too old that long after that.
        self._order.append((now + timedelta(seconds=2 * MAX_SKEW_S), signature))


class Authentication:
    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._replays = Replays()

    async def tenant(self, *, method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """headers: their names in lower case. Raises Ec2Error unless a tenant is proven to have sent it."""
        claim = read_claim(headers)
        if "x-amz-security-token" in headers:
            raise Ec2Error("InvalidClientTokenId", "There are no temporary credentials here", 403)
        key = await self._context.access_key(claim.access_key)
        if key is None:
            raise Ec2Error("InvalidClientTokenId", "The access key ID does not exist", 403)
        if not proves(claim, key.secret, method=method, path=path, headers=headers, body=body):
            raise Ec2Error(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your secret access key and signing method.",
                403,
            )
        now = self._now(key)
        _check_time(claim, now)
        self._replays.remember(claim.signature, now)
        return key.tenant

    def _now(self, key: KnownAccessKey) -> datetime:
        """By the store's clock, without asking it for each request."""
        return key.read_at + timedelta(seconds=self._context.clock.monotonic_s() - key.read_s)


def _check_time(claim: Claim, now: datetime) -> None:
    ahead_s = (claim.time - now).total_seconds()
    if abs(ahead_s) <= MAX_SKEW_S:
        return
    which = "is not yet valid" if ahead_s > 0 else "has expired"
    raise Ec2Error(
        "RequestExpired",
        f"Request {which}: it was signed at {claim.time_text}, and here it is {now:%Y%m%dT%H%M%SZ}",
    )

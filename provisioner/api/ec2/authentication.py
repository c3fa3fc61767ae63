"""Who sent a request: the tenant whose access key signed it, a short time ago."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from provisioner.api.context import ApiContext
from provisioner.api.credentials import KnownAccessKey
from provisioner.api.ec2.errors import Ec2Error, too_many
from provisioner.api.ec2.replays import Proven
from provisioner.api.ec2.signature import MAX_SKEW_S, TIME_FORMAT, Claim, proves, read_claim
from provisioner.api.unproven import Attempt, Unproven
from provisioner.core.roles import NOBODY


class Unsigned(Exception):
    """Nobody could be held to a request. told: what its sender is answered. key: whose it says it is, if
    there is such a key."""

    def __init__(self, told: Ec2Error, key: KnownAccessKey | None = None) -> None:
        super().__init__(told.message)
        self.told = told
        self.key = key


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whose a request says it is, which is yet to be proven by its body."""

    claim: Claim
    key: KnownAccessKey


class Authentication:
    def __init__(self, context: ApiContext, unproven: Unproven) -> None:
        self._context = context
        self._unproven = unproven

    async def claimed(self, headers: Mapping[str, str], address: str) -> Claimed:
        """What can be said before the body was read. headers: their names in lower case. address: where it
        came from. Raises Ec2Error unless it says that it is signed by a key of ours."""
        async with self._telling(address):
            return await self._claimed(headers, address)

    async def prove(
        self,
        claimed: Claimed,
        *,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        address: str,
    ) -> Proven:
        """Raises Ec2Error unless a tenant is proven to have sent it, and may send more."""
        claim, key = claimed.claim, claimed.key
        limits, now_s = self._context.limits, self._context.clock.monotonic_s()
        if not proves(claim, key.secret, method=method, path=path, headers=headers, body=body):
            told = Ec2Error(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your secret access key and signing method.",
                403,
            )
            async with self._telling(address):
                raise Unsigned(too_many() if limits.failures.take(address, now_s) else told, key)
        now = self._now(key)
        _check_time(claim, now)
        if limits.request(key.who, now_s):
            raise too_many()
        return Proven(key.who, claim.signature, claim.time_text, now)

    @asynccontextmanager
    async def _telling(self, address: str) -> AsyncIterator[None]:
        """Whoever could not be held to a request is told of in the audit log, and gets their answer."""
        try:
            yield
        except Unsigned as error:
            attempt = Attempt(
                operation="ec2 authenticate",
                address=address,
                who=error.key.who if error.key else NOBODY,
            )
            await self._unproven.tell(attempt, error.told.code)
            raise error.told from None

    async def _claimed(self, headers: Mapping[str, str], address: str) -> Claimed:
        """Raises Unsigned."""
        try:
            claim = read_claim(headers)
        except Ec2Error as error:
            raise Unsigned(error) from error
        if "x-amz-security-token" in headers:
            raise Unsigned(Ec2Error("InvalidClientTokenId", "There are no temporary credentials here", 403))
        limits, now_s = self._context.limits, self._context.clock.monotonic_s()
        if limits.failures.wait_s(address, now_s) and claim.access_key not in self._context.access_keys:
            raise Unsigned(too_many())
        key = await self._context.access_key(claim.access_key)
        if key is None:
            limits.failures.take(address, now_s)
            raise Unsigned(Ec2Error("InvalidClientTokenId", "The access key ID does not exist", 403))
        return Claimed(claim, key)

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
        f"Request {which}: it was signed at {claim.time_text}, and here it is {now:{TIME_FORMAT}}",
    )

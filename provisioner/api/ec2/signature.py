"""Signatures of requests: AWS Signature Version 4, as far as form-encoded POSTs need it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from provisioner.api.ec2.errors import Ec2Error

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "ec2"
NEEDED_HEADERS = frozenset({"host", "x-amz-date"})
"""What must be signed: a request is for one place, and for one time."""

MAX_SKEW_S = 300.0
"""How far its time may be off, before or after."""

TIME_FORMAT = "%Y%m%dT%H%M%SZ"

_SCOPE = re.compile(r"([A-Za-z0-9]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request\Z")
_HEADERS = re.compile(r"[a-z0-9-]{1,64}(;[a-z0-9-]{1,64}){0,63}\Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}\Z")
_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z\Z")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its signature."""

    access_key: str
    date: str
    region: str
    signed_headers: tuple[str, ...]
    signature: str
    time_text: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{SERVICE}/aws4_request"

    @property
    def time(self) -> datetime:
        return datetime.strptime(self.time_text, TIME_FORMAT).replace(tzinfo=UTC)


def read_claim(headers: Mapping[str, str]) -> Claim:
    """From headers with lower-case names. Raises Ec2Error; nothing is proven yet."""
    authorization = headers.get("authorization", "")
    if not authorization:
        raise Ec2Error("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete(f"sign with {ALGORITHM}")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    scope = _SCOPE.match(fields.get("Credential", ""))
    names, signature = fields.get("SignedHeaders", ""), fields.get("Signature", "")
    if scope is None or not _HEADERS.match(names) or not _SIGNATURE.match(signature):
        raise _incomplete("give Credential, SignedHeaders and Signature")
    access_key, date, region, service = scope.groups()
    if service != SERVICE:
        raise Ec2Error("SignatureDoesNotMatch", f"Credential should be scoped to service '{SERVICE}'", 403)
    time_text = headers.get("x-amz-date", "")
    if not _TIME.match(time_text) or time_text[:8] != date:
        raise _incomplete("give X-Amz-Date, of the day that the credential is scoped to")
    claim = Claim(access_key, date, region, tuple(names.split(";")), signature, time_text)
    if not set(claim.signed_headers) >= NEEDED_HEADERS:
        raise _incomplete(f"sign {' and '.join(sorted(NEEDED_HEADERS))}")
    try:
        _ = claim.time
    except ValueError:
        raise _incomplete("give a time that exists") from None
    return claim


def _incomplete(advice: str) -> Ec2Error:
    return Ec2Error(
        "IncompleteSignature", f"The request signature does not conform to AWS standards: {advice}"
    )


def proves(
    claim: Claim, secret: str, *, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> bool:
    """Whether whoever made the claim knows the secret, for this very request. path: as it was sent, without a
    query: requests with one aren't taken."""
    if not all(name in headers for name in claim.signed_headers):
        return False
    lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in claim.signed_headers]
    canonical = "\n".join(
        (
            method,
            path,
            "",
            "".join(lines),
            ";".join(claim.signed_headers),
            hashlib.sha256(body).hexdigest(),
        )
    )
    told = "\n".join(
        (ALGORITHM, claim.time_text, claim.scope, hashlib.sha256(canonical.encode()).hexdigest())
    )
    expected = hmac.new(_key(secret, claim), told.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, claim.signature)


def _key(secret: str, claim: Claim) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (claim.date, claim.region, SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key

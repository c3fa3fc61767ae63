"""Pages of Describe calls: MaxResults and NextToken."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from provisioner.api.ec2.errors import Ec2Error, bad_value

T = TypeVar("T")

MAX_RESULTS = 1000


def page(
    given: Mapping[str, Any], things: Iterable[T], key: Callable[[T], str]
) -> tuple[list[T], str | None]:
    """The things of this page, in the order of their keys, and the token of the next; None on the last. A key
    that goes or comes between two pages moves no other."""
    ordered = sorted(things, key=key)
    token = given.get("NextToken")
    if token:
        after = _opened(token)
        ordered = [thing for thing in ordered if key(thing) > after]
    most = given.get("MaxResults")
    if most is None or most == 0:
        return ordered, None
    if not 1 <= most <= MAX_RESULTS:
        raise bad_value("MaxResults", f"it must be between 1 and {MAX_RESULTS}")
    if len(ordered) <= most:
        return ordered, None
    return ordered[:most], _token(key(ordered[most - 1]))


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode("ascii")


def _opened(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error):
        raise Ec2Error("InvalidNextToken", "The token is not one that was given out") from None

"""Regular expressions that are looked for on consoles.

By RE2, whose time grows with the text alone: they are tenants', and an engine that tries one way after the
other (Python's own) can be made to try for hours, with all else of this process waiting.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from provisioner.core.bounded_pattern import compiled

MAX_LETTERS = 256


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Any:
    return compiled(f"(?m){pattern}")


def wrong_with(pattern: str) -> str | None:
    """Why it can't be used, or None."""
    if len(pattern) > MAX_LETTERS:
        return f"it has {len(pattern)} letters, {MAX_LETTERS} are allowed"
    try:
        _compiled(pattern)
    except re2.error as error:
        (told,) = error.args or ("",)
        return told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    return None


def find(pattern: str, text: str) -> str | None:
    """The first place in the text that it matches; None where there is none, or the pattern can't be used
    (an older version of this program took more). A terminal ends its lines with a carriage return and a line
    feed (ONLCR of termios(3)): the former would stand between a line's last letter and its end."""
    if wrong_with(pattern) is not None:
        return None
    match = _compiled(pattern).search(text.replace("\r", ""))
    return None if match is None else str(match.group(0))

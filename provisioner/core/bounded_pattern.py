"""Regular expressions that somebody else chose: by RE2, whose time grows with the text alone, and in bounded
memory."""

from __future__ import annotations

from typing import Any

import re2

MAX_MEMORY_BYTES = 2**20  # of what is made of one pattern; one that needs more is refused


def compiled(pattern: str) -> Any:
    """Raises re2.error, and UnicodeError for half of a surrogate pair."""
    options = re2.Options()
    options.max_mem = MAX_MEMORY_BYTES
    options.log_errors = False
    return re2.compile(pattern, options)

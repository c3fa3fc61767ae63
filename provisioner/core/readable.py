"""What devices, programs and nodes say may be anything: as text that terminals and stores can bear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, which terminals obey, and halves of surrogate pairs. PostgreSQL holds no NUL."""


def readable(words: str) -> str:
    """With a replacement character in the place of what is no text."""
    return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", words)


def shortened(words: str, most: int = 300) -> str:
    """Without its middle, of what may have any number of letters: what was tried stands at the beginning of a
    complaint, and why not at its end."""
    return words if len(words) <= most else f"{words[: most // 2]} … {words[-most // 2 :]}"


def all_readable(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same of all strings in it, names too."""
    return {readable(name): _readable(value) for name, value in said.items()}


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return all_readable(value)
    if isinstance(value, list | tuple):
        return [_readable(one) for one in value]
    return value

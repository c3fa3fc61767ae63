"""URLs of outlets: what of them may be shown, and how outlets are told apart by the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from provisioner.core.shown_url import shown_url

URLS = ("on", "off", "state")
"""In the address of an outlet behind URLs. What may not be shown of one is secret: the whole URL stands among
the node's secrets then, by the same name."""

PRINT = "on_print"
"""Beside them: what tells one query of `on` from another, where there is one. Not for others to see: who
knows all but a short word of the query could guess that."""


def shown_address(address: Mapping[str, Any]) -> dict[str, Any]:
    """A node's power address as others may see it. Nodes that were enrolled before have whole URLs in it, and
    what is given to a program may be one."""
    return {name: _shown(value) for name, value in address.items() if name != PRINT}


def _shown(value: Any) -> Any:
    match value:
        case str() if value.startswith(("http://", "https://")):
            return shown_url(value)
        case Mapping():
            return shown_address(value)
        case list() | tuple():
            return [_shown(one) for one in value]
    return value


def print_of(address: Mapping[str, Any]) -> str:
    """Of the query of `on`; empty when it has none."""
    return str(address.get(PRINT) or query_print(str(address["on"])))


@lru_cache(maxsize=256)
def query_print(url: str) -> str:
    """Empty for a URL without a query. Slow, so that words aren't found by trying (RFC 7914)."""
    query = urlsplit(url).query
    if not query:
        return ""
    return hashlib.scrypt(query.encode(), salt=b"query of an outlet's URL", n=2**14, r=8, p=1, dklen=8).hex()

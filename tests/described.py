"""What the API says of itself."""

from __future__ import annotations

from functools import cache
from typing import Any

from provisioner.api.application import describe


@cache
def described() -> dict[str, Any]:
    """The OpenAPI document, which takes a third of a second to make. For looking at: it is everybody's."""
    return describe()

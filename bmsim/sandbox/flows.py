"""What is followed at once on a wire: connections, transfers, and what they were about."""

from __future__ import annotations

from typing import Any, TypeVar

MOST_FLOWS = 4096
"""The oldest make room."""

Key = TypeVar("Key")


def remember(flows: dict[Key, Any], key: Key, value: Any) -> None:
    if len(flows) >= MOST_FLOWS:
        flows.pop(next(iter(flows)))
    flows[key] = value

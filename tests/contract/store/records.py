"""Records to store: plain ones, and any that hypothesis can think of."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from provisioner.core import model
from provisioner.core.model import Flavor, Image, ImageKind, Node, Record, TimelineEvent
from provisioner.protocols.store import Tx
from tests.searches import searching

AT = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def node(name: str, **fields: Any) -> Node:
    given: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "arch": "x86_64",
        "firmware": "bios",
        "cpus": 4,
        "memory_mib": 4096,
        "disk_mib": 20_000,
        "boot_driver": "ipxe",
        "deploy_driver": "iscsi",
        "power_driver": "ipmi",
        "power_address": {"address": "10.0.0.1", "port": 623},
        "created_at": AT,
        "updated_at": AT,
    }
    return Node(**{**given, **fields})


def flavor(name: str, cpus: int = 1) -> Flavor:
    return Flavor(id=f"id-{name}", name=name, cpus=cpus, memory_mib=512, disk_mib=1000)


def image(name: str, **fields: Any) -> Image:
    given: dict[str, Any] = {"kind": ImageKind.ROOT, "format": "raw", "arch": "x86_64"}
    return Image(id=f"id-{name}", name=name, created_at=AT, updated_at=AT, **{**given, **fields})


def event(node_id: str = "id-n1", **fields: Any) -> TimelineEvent:
    given: dict[str, Any] = {"instance_id": None, "at": AT, "source": "controller", "name": "step.done"}
    return TimelineEvent(node_id=node_id, **{**given, **fields})


# PostgreSQL can't hold NUL in text, and no UTF-8 holds half a surrogate pair.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(values(part) for part in parts))
    if origin is Mapping:
        return st.dictionaries(TEXT, JSON if parts[1] is Any else values(parts[1]), max_size=3)
    if origin is tuple:
        return st.lists(values(parts[0]), max_size=3).map(tuple)
    if hint is type(None):
        return st.none()
    if hint is datetime:
        return st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC))
    if hint in (str, int, bool):
        return {str: TEXT, int: INTEGERS, bool: st.booleans()}[hint]
    if issubclass(hint, str):
        return st.sampled_from(hint)
    return records(hint)


def records(kind: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})


KINDS: tuple[type[Record], ...] = typing.get_args(model.Record)


# The store of the test serves all examples: each begins by emptying it.
EXAMPLES = searching(25)


def emptied(tx: Tx, kind: type[Record]) -> None:
    for kept in tx.find(kind):
        assert tx.delete(kind, kept.id)

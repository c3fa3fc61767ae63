"""What `where` and `expect` mean: each field equals its value, or one of its values."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from provisioner.protocols.store import Since
from provisioner.store.schema import Shape

_SEVERAL = (tuple, list, frozenset)
MAX_ALTERNATIVES = 16_384  # databases bound the parameters of a statement; SQLite to 32,766


class Term(NamedTuple):
    """The shape of a condition on one field, without its values: what a statement is compiled from.

    alternatives: how many values it may equal
    or_null:      whether it may be NULL as well
    or_more:      whether it may be more than its only alternative
    """

    field: str
    alternatives: int
    or_null: bool
    or_more: bool = False


_term = lru_cache(maxsize=1024)(Term)
"""There are few, and they are asked for more often than anything."""


class Conditions(NamedTuple):
    """All must hold. `values` are the stored forms, in the order of the terms."""

    terms: tuple[Term, ...]
    values: list[Any]


def conditions(shape: Shape[Any], where: Mapping[str, Any] | None) -> Conditions | None:
    """The conditions of `where`; None when nothing can meet them (one of no values).

    TypeError when a field doesn't exist, isn't scalar, or can't have such a value.
    """
    terms: list[Term] = []
    values: list[Any] = []
    for field, wanted in (where or {}).items():
        column = shape.column(field)
        if not column.scalar:
            raise TypeError(f"{field} of a {shape.label} is not scalar, so it can't be compared")
        if isinstance(wanted, _SEVERAL):
            stored = [column.checked(value) for value in wanted if value is not None]
            or_null = len(stored) < len(wanted)
            if not stored and not or_null:
                return None
            stored = _padded(stored)
            terms.append(_term(field, len(stored), or_null))
            values += stored
        elif isinstance(wanted, Since):
            if column.nullable:
                raise TypeError(f"{field} of a {shape.label} may be None, which no time comes after")
            terms.append(_term(field, 1, False, True))
            values.append(column.checked(wanted.at))
        elif wanted is None:
            terms.append(_term(field, 0, True))
        else:
            terms.append(_term(field, 1, False))
            values.append(column.checked(wanted))
    return Conditions(tuple(terms), values)


def check(shape: Shape[Any], where: Mapping[str, Any]) -> None:
    """Complains as `conditions` does, and works nothing out: most values are of the field's very type."""
    columns = shape.columns
    for field, wanted in where.items():
        column = columns.get(field)
        kind = None if column is None else column.exact
        if kind is not None and type(wanted) is kind:
            continue
        if kind is not None and type(wanted) is tuple and len(wanted) <= MAX_ALTERNATIVES:
            for one in wanted:
                if type(one) is not kind:
                    break
            else:
                continue
        conditions(shape, {field: wanted})


def _padded(values: list[Any]) -> list[Any]:
    """Repeats the last value up to a power of two, so that few statements serve lists of all lengths."""
    if len(values) > MAX_ALTERNATIVES:
        raise ValueError(f"one of {len(values)} values: more than {MAX_ALTERNATIVES} in one condition")
    if not values:
        return values
    length = 1 << (len(values) - 1).bit_length()
    return values + values[-1:] * (length - len(values))

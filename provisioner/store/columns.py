"""How one field of a record becomes one column, and back.

Scalars have typed columns and may stand in conditions. Nested records, mappings and tuples are JSON text.
Times are ISO text of fixed width in UTC, which every database orders and compares as times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import sqlalchemy as sa
from pydantic import TypeAdapter

Convert = Callable[[Any], Any]

# PostgreSQL's default collations order by language; records are ordered by code point everywhere.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
# SQLite gives ascending ids only to a column whose type is exactly INTEGER.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


@dataclass(frozen=True, slots=True)
class Column:
    """One field. `encode` and `decode` are None where the driver takes and gives the value as it is;
    neither is called with None. `kept` is both, one after the other, without a detour by way of what the
    driver takes; None where that changes nothing. `exact`: values of this very type are right as they are."""

    name: str
    python_type: type
    sql_type: sa.types.TypeEngine[Any]
    nullable: bool
    scalar: bool
    encode: Convert | None
    decode: Convert | None
    kept: Convert | None = None
    exact: type | None = None

    def checked(self, value: Any) -> Any:
        """The stored form of a value that no type checker has seen. TypeError when it doesn't fit."""
        if value is None:
            if not self.nullable:
                raise TypeError(f"{self.name} can't be None")
            return None
        if not isinstance(value, self.python_type):
            raise TypeError(f"{self.name} is {self.python_type.__name__}, not {type(value).__name__}")
        return value if self.encode is None else self.encode(value)

    def as_stored(self, value: Any) -> Any:
        """The value as it comes back from a database: checked, and sharing nothing with the caller's."""
        if value is None or not isinstance(value, self.python_type):
            self.checked(value)  # raises, or None is all right
            return None
        return value if self.kept is None else self.kept(value)


def columns_of(kind: type) -> tuple[Column, ...]:
    """The columns of a record's class, in the order of its fields."""
    hints = get_type_hints(kind)
    return tuple(_column(field.name, hints[field.name]) for field in fields(kind))


def _column(name: str, hint: Any) -> Column:
    nullable = False
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
        nullable = True
    if hint is str:
        return Column(name, str, TEXT, nullable, True, None, None, exact=str)
    if hint is bool:
        return Column(name, bool, sa.Boolean(), nullable, True, None, bool, kept=bool, exact=bool)
    if hint is int:
        return Column(name, int, INTEGER, nullable, True, None, None, exact=int)
    if hint is datetime:
        return Column(
            name, datetime, TIME, nullable, True, _time_text, datetime.fromisoformat, kept=_time_in_utc
        )
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        # Plain text is accepted too, and checked to be one of the values.
        return Column(
            name, str, TEXT, nullable, True, lambda value: hint(value).value, hint, kept=hint, exact=hint
        )
    return _json_column(name, hint, nullable)


def _json_column(name: str, hint: Any, nullable: bool) -> Column:
    origin = get_origin(hint) or hint
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    decode: Convert = adapter.validate_json
    kept: Convert = lambda value: adapter.validate_json(adapter.dump_json(value))  # noqa: E731
    if _is_immutable(hint):
        # The same few values fill most rows (no proof of life, nothing published), so decode them once.
        decode = lru_cache(maxsize=1024)(decode)
        kept = lru_cache(maxsize=1024)(kept)
    elif get_origin(hint) is Mapping:
        kept = _empty_or(kept)
    encode: Convert = lambda value: adapter.dump_json(value).decode()  # noqa: E731
    return Column(name, origin, TEXT, nullable, False, encode, decode, kept=kept)


def _empty_or(kept: Convert) -> Convert:
    """Most mappings have nothing in them."""
    return lambda value: kept(value) if value else {}


def _is_immutable(hint: Any) -> bool:
    if get_origin(hint) is tuple:
        return all(part is str or part is Ellipsis for part in get_args(hint))
    if get_origin(hint) is Mapping or hint is Any:
        return False
    parts = get_type_hints(hint).values()
    return all(isinstance(part, type) and (part is str or issubclass(part, StrEnum)) for part in parts)


def _time_text(value: datetime) -> str:
    return _time_in_utc(value).isoformat(timespec="microseconds")


def _time_in_utc(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise TypeError(f"times are aware, {value.isoformat()} has no time zone")
    return value.astimezone(UTC)

"""How one field of a record becomes one column, and back.

Scalars have typed columns and may stand in conditions. Nested records, mappings and tuples are JSON text.
Times are ISO text of fixed width in UTC, which every database orders and compares as times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import sqlalchemy as sa
from pydantic import TypeAdapter

from provisioner.core.fields import changed

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
        if type(value) is self.exact:
            return value if self.encode is None else self.encode(value)
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
        return _enum_column(name, hint, nullable)
    return _json_column(name, hint, nullable)


def _enum_column(name: str, hint: type[StrEnum], nullable: bool) -> Column:
    members = {member.value: member for member in hint}
    texts = {text: text for text in members}  # a member is found by its text, and equals it

    # Plain text is accepted too, and checked to be one of the values.
    def encode(value: str) -> str:
        return texts.get(value) or hint(value).value

    def decode(text: str) -> StrEnum:
        return members.get(text) or hint(text)

    return Column(name, str, TEXT, nullable, True, encode, decode, kept=decode, exact=hint)


def _json_column(name: str, hint: Any, nullable: bool) -> Column:
    origin = get_origin(hint) or hint
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    decode: Convert = adapter.validate_json
    encode: Convert = lambda value: adapter.dump_json(value).decode()  # noqa: E731
    there_and_back: Convert = lambda value: adapter.validate_json(adapter.dump_json(value))  # noqa: E731
    kept = there_and_back
    if _is_immutable(hint):
        # The same few values fill most rows (no proof of life, nothing published), so convert them once.
        encode = lru_cache(maxsize=1024)(encode)
        decode = lru_cache(maxsize=1024)(decode)
        kept = lru_cache(maxsize=1024)(kept)
    elif get_origin(hint) is Mapping:
        # Most have nothing in them.
        encode = lambda value: adapter.dump_json(value).decode() if value else "{}"  # noqa: E731
        decode = lambda text: {} if text == "{}" else adapter.validate_json(text)  # noqa: E731
        kept = _copied(there_and_back)
    elif get_origin(hint) is tuple:
        # Nor have these.
        encode = lambda value: adapter.dump_json(value).decode() if value else "[]"  # noqa: E731
        decode = lambda text: () if text == "[]" else adapter.validate_json(text)  # noqa: E731
        kept = lambda value: there_and_back(value) if value else ()  # noqa: E731
    elif is_dataclass(hint):
        kept = _copied_record(hint, there_and_back)
    return Column(name, origin, TEXT, nullable, False, encode, decode, kept=kept)


def _copied(there_and_back: Convert) -> Convert:
    """What JSON makes of a mapping and back, sooner where it is made of nothing but what JSON knows."""

    def copy(value: Any) -> Any:
        plain = _plain(value)
        return there_and_back(value) if plain is _NOT_PLAIN else plain

    return copy


def _copied_record(hint: Any, there_and_back: Convert) -> Convert:
    """The same of a record whose fields are scalars and mappings."""
    hints = get_type_hints(hint)
    mappings = [name for name, kind in hints.items() if get_origin(kind) is Mapping]
    if any(kind not in (str, int, bool, datetime) for name, kind in hints.items() if name not in mappings):
        return there_and_back

    def copy(record: Any) -> Any:
        made = {name: _plain(getattr(record, name)) for name in mappings}
        if any(value is _NOT_PLAIN for value in made.values()):
            return there_and_back(record)
        return changed(record, **made)

    return copy


_NOT_PLAIN = object()
_SCALARS = frozenset((str, int, bool, NoneType))
"""As they are. A float may be one that JSON can't write."""


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        made: Any = {}
        for name, item in value.items():
            if type(name) is not str:
                return _NOT_PLAIN
            if type(item) not in _SCALARS and (item := _plain(item)) is _NOT_PLAIN:
                return _NOT_PLAIN
            made[name] = item
        return made
    if kind is list or kind is tuple:
        made = [_plain(item) for item in value]
        return _NOT_PLAIN if any(item is _NOT_PLAIN for item in made) else made
    return _NOT_PLAIN


def _is_immutable(hint: Any) -> bool:
    if get_origin(hint) is tuple:
        return all(part is str or part is Ellipsis for part in get_args(hint))
    if get_origin(hint) is Mapping or hint is Any:
        return False
    parts = get_type_hints(hint).values()
    return all(isinstance(part, type) and (part is str or issubclass(part, StrEnum)) for part in parts)


@lru_cache(maxsize=256)  # all that one transaction writes has the same few times
def _time_text(value: datetime) -> str:
    return _time_in_utc(value).isoformat(timespec="microseconds")


def _time_in_utc(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise TypeError(f"times are aware, {value.isoformat()} has no time zone")
    return value.astimezone(UTC)

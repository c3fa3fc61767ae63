"""The fields of a frozen, slotted dataclass, read and set all at once.

What `dataclasses.replace` and a frozen `__init__` do one by one, by name and by way of `object.__setattr__`,
takes three to ten times as long, and every transaction does it several times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Fields(Generic[R]):
    """Of a class with two fields or more, derived from nothing, and without a `__post_init__`."""

    def __init__(self, kind: type[R]) -> None:
        self.names = tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
        self.values: Callable[[R], tuple[Any, ...]] = attrgetter(*self.names)
        """All values, in the order of the fields."""
        self.record, self._copied = _written_out(kind, self.names)
        """record(values): the record that has these values, all of them."""
        self._set = {name: getattr(kind, name).__set__ for name in self.names}

    def changed(self, record: R, changes: Mapping[str, Any]) -> R:
        """KeyError when there is no such field."""
        new = self._copied(record)
        for name, value in changes.items():
            self._set[name](new, value)
        return new


def _written_out(
    kind: type[R], names: tuple[str, ...]
) -> tuple[Callable[[Iterable[Any]], R], Callable[[R], R]]:
    """Two functions with a line for each field, as `dataclasses` writes its own. They fill an object of a
    class with the same slots that isn't frozen, which takes plain assignments, and make it one of `kind` at
    the end."""
    source = [
        "def record(_values):",
        f"    {', '.join(names)} = _values",
        "    _new = _create(_Blank)",
        *(f"    _new.{name} = {name}" for name in names),
        "    _new.__class__ = _kind",
        "    return _new",
        "def copied(_old):",
        "    _new = _create(_Blank)",
        *(f"    _new.{name} = _old.{name}" for name in names),
        "    _new.__class__ = _kind",
        "    return _new",
    ]
    blank = type("Blank", (), {"__slots__": names})
    written: dict[str, Any] = {"_create": object.__new__, "_Blank": blank, "_kind": kind}
    exec("\n".join(source), written)  # nothing of it comes from outside
    return written["record"], written["copied"]


_fields_of = lru_cache(maxsize=None)(Fields[Any])


def changed(record: R, /, **changes: Any) -> R:
    """The record with these fields changed."""
    kind: Any = type(record)
    new: R = _fields_of(kind).changed(record, changes)
    return new

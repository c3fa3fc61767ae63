"""The fields of a frozen, slotted dataclass, read and set all at once.

What `dataclasses.replace` and a frozen `__init__` do one by one, by name and by way of `object.__setattr__`,
takes three times as long, and every transaction does it several times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Fields(Generic[R]):
    """Of a class with two fields or more, and without a `__post_init__`."""

    def __init__(self, kind: type[R]) -> None:
        self.names = tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
        self.values: Callable[[R], tuple[Any, ...]] = attrgetter(*self.names)
        """All values, in the order of the fields."""
        self._kind = kind
        self._set = {name: getattr(kind, name).__set__ for name in self.names}
        self._setters = tuple(self._set.values())

    def record(self, values: Iterable[Any]) -> R:
        """The record that has these values, all of them."""
        record = self._kind.__new__(self._kind)
        for set_value, value in zip(self._setters, values, strict=True):
            set_value(record, value)
        return record

    def changed(self, record: R, changes: Mapping[str, Any]) -> R:
        """KeyError when there is no such field."""
        new = self.record(self.values(record))
        for name, value in changes.items():
            self._set[name](new, value)
        return new


_fields_of = lru_cache(maxsize=None)(Fields[Any])


def changed(record: R, /, **changes: Any) -> R:
    """The record with these fields changed."""
    kind: Any = type(record)
    new: R = _fields_of(kind).changed(record, changes)
    return new

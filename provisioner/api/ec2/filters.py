"""Filters of Describe calls: names and values with wildcards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from provisioner.api.ec2.errors import Ec2Error

T = TypeVar("T")
Looks = Mapping[str, Callable[[T], Iterable[str]]]

MAX_VALUES = 200


class Filters(Generic[T]):
    """Those of one request: all must hold, each for any of its values.

    looks: what a filter's name looks at; a thing may have several values, or none
    tags:  of a thing, for `tag:KEY` and `tag-key`
    """

    def __init__(
        self,
        given: Iterable[Mapping[str, Any]],
        looks: Looks[T],
        tags: Callable[[T], Mapping[str, str]] | None = None,
    ) -> None:
        self._checks: list[tuple[Callable[[T], Iterable[str]], re.Pattern[str]]] = []
        for one in given:
            name, values = one.get("Name", ""), one.get("Values", [])
            if not values or len(values) > MAX_VALUES:
                raise Ec2Error("InvalidParameterValue", f"A filter must have 1 to {MAX_VALUES} values")
            self._checks.append((_look(name, looks, tags), _pattern(values)))

    def __call__(self, thing: T) -> bool:
        return all(any(map(pattern.match, look(thing))) for look, pattern in self._checks)


def _look(
    name: str, looks: Looks[T], tags: Callable[[T], Mapping[str, str]] | None
) -> Callable[[T], Iterable[str]]:
    if tags is not None:
        if name == "tag-key":
            return lambda thing: tags(thing)
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            return lambda thing: [tags(thing)[key]] if key in tags(thing) else []
    if name not in looks:
        raise Ec2Error("InvalidParameterValue", f"The filter '{name[:100]}' is invalid")
    return looks[name]


def _pattern(values: Iterable[str]) -> re.Pattern[str]:
    # One * for any number of them: a run of them takes long to match, and means the same.
    return re.compile("|".join(f"(?:{_one(value)})" for value in values), re.DOTALL)


def _one(value: str) -> str:
    parts: list[str] = []
    for word in re.findall(r"\\.|\*+|.", value, re.DOTALL):
        if word[0] == "*":
            parts.append(".*")
        elif word == "?":
            parts.append(".")
        else:
            parts.append(re.escape(word[1:] if len(word) == 2 else word))
    return "".join(parts) + r"\Z"

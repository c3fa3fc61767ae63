"""Filters of Describe calls: names and values with wildcards."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Generic, TypeVar

from provisioner.api.ec2.errors import Ec2Error, unsupported

T = TypeVar("T")
Looks = Mapping[str, Callable[[T], Iterable[str]]]

MAX_FILTERS = 50
MAX_VALUES = 200


class Filters(Generic[T]):
    """Those of one request: all must hold, each for any of its values.

    looks: what a filter's name looks at; a thing may have several values, or none
    tags:  of a thing, for `tag:KEY` and `tag-key`
    others: names that EC2 knows and that mean nothing here
    """

    def __init__(
        self,
        given: Iterable[Mapping[str, Any]],
        looks: Looks[T],
        tags: Callable[[T], Mapping[str, str]] | None = None,
        others: Container[str] = (),
    ) -> None:
        self._checks: list[tuple[Callable[[T], Iterable[str]], list[_Pattern]]] = []
        if len(told := list(given)) > MAX_FILTERS:
            raise Ec2Error("InvalidParameterValue", f"A request may have {MAX_FILTERS} filters")
        for one in told:
            name, values = one.get("Name", ""), one.get("Values", [])
            if not values or len(values) > MAX_VALUES:
                raise Ec2Error("InvalidParameterValue", f"A filter must have 1 to {MAX_VALUES} values")
            self._checks.append((_look(name, looks, tags, others), [_Pattern(value) for value in values]))

    def __call__(self, thing: T) -> bool:
        return all(
            any(pattern.matches(text) for text in look(thing) for pattern in patterns)
            for look, patterns in self._checks
        )


def _look(
    name: str, looks: Looks[T], tags: Callable[[T], Mapping[str, str]] | None, others: Container[str]
) -> Callable[[T], Iterable[str]]:
    if tags is not None:
        if name == "tag-key":
            return lambda thing: tags(thing)
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            return lambda thing: [tags(thing)[key]] if key in tags(thing) else []
    if name in others:
        raise unsupported(f"The filter {name}")
    if name not in looks:
        raise Ec2Error("InvalidParameterValue", f"The filter '{name[:100]}' is invalid")
    return looks[name]


class _Pattern:
    """One value of a filter: * is any text, ? any letter, and a backslash takes either as it is.

    Not one regular expression: many * in one would try all ways to share the text out among them. Between two
    of them, the leftmost match is as good as any.
    """

    def __init__(self, value: str) -> None:
        parts = [""]
        lengths = [0]
        for word in re.findall(r"\\.|.", value, re.DOTALL):
            if word == "*":
                parts.append("")
                lengths.append(0)
                continue
            parts[-1] += "." if word == "?" else re.escape(word[-1])
            lengths[-1] += 1
        self._parts = [re.compile(part, re.DOTALL) for part in parts]
        self._lengths = lengths

    def matches(self, text: str) -> bool:
        first, *middle = self._parts
        if not middle:
            return first.fullmatch(text) is not None
        last = middle.pop()
        at, end = self._lengths[0], len(text) - self._lengths[-1]
        if at > end or not first.match(text) or not last.match(text, end):
            return False
        for part in middle:
            found = part.search(text, at, end)
            if found is None:
                return False
            at = found.end()
        return True

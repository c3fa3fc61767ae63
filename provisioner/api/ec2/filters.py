"""Filters of Describe calls: names and values with wildcards."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Generic, TypeVar

import re2

from provisioner.api.ec2.errors import Ec2Error, unsupported
from provisioner.core.bounded_pattern import compiled

T = TypeVar("T")
Looks = Mapping[str, Callable[[T], Iterable[str]]]

MAX_FILTERS = 50
MAX_VALUES = 200
MAX_PATTERNS = 50
"""Of a request: values that have a wildcard."""


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
        self._checks: list[tuple[Callable[[T], Iterable[str]], _Values]] = []
        if len(told := list(given)) > MAX_FILTERS:
            raise Ec2Error("InvalidParameterValue", f"A request may have {MAX_FILTERS} filters")
        for one in told:
            name, values = one.get("Name", ""), one.get("Values", [])
            if not values or len(values) > MAX_VALUES:
                raise Ec2Error("InvalidParameterValue", f"A filter must have 1 to {MAX_VALUES} values")
            self._checks.append((_look(name, looks, tags, others), _Values(dict.fromkeys(values))))
        # All of them are tried on each thing, in one go, while all else of this process waits.
        if sum(len(values.patterns) for _, values in self._checks) > MAX_PATTERNS:
            raise Ec2Error(
                "InvalidParameterValue",
                f"A request may have {MAX_PATTERNS} values with * or ?, all filters together",
            )

    def __call__(self, thing: T) -> bool:
        return all(any(map(values.match, look(thing))) for look, values in self._checks)


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


class _Values:
    """Those of a filter: * is any text, ? any letter, and a backslash takes either as it is."""

    def __init__(self, given: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self.patterns: list[Any] = []
        for value in given:
            words = re.findall(r"\\.|.", value, re.DOTALL)
            if "*" in words or "?" in words:
                self.patterns.append(_compiled(words))
            else:
                self._exact.add("".join(word[-1] for word in words))

    def match(self, text: str) -> bool:
        return text in self._exact or any(pattern.fullmatch(text) for pattern in self.patterns)


def _compiled(words: Iterable[str]) -> Any:
    any_text = {"*": ".*", "?": "."}
    try:
        return compiled("(?s)" + "".join(any_text.get(word) or re2.escape(word[-1]) for word in words))
    except (re2.error, UnicodeError):
        raise Ec2Error(
            "InvalidParameterValue", "A filter's value can't be used: it is too long, or no text"
        ) from None

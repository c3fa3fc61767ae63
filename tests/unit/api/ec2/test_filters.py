from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.filters import MAX_FILTERS, MAX_PATTERNS, MAX_VALUES, Filters

LOOKS = {"word": lambda thing: thing["words"]}


def finds(pattern: str, *words: str) -> bool:
    return Filters[Any]([{"Name": "word", "Values": [pattern]}], LOOKS)({"words": words})


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=8))
def test_wildcards_mean_what_they_mean_in_shells(pattern: str, word: str) -> None:
    assert finds(pattern, word) == fnmatchcase(word, pattern)


@pytest.mark.parametrize(
    ("pattern", "word", "found"),
    [
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        (r"a\?", "ab", False),
        (r"\\*", r"\b", True),
        ("a" + "\\", "a" + "\\", True),
        ("[ab]", "a", False),
        ("a.c", "abc", False),
        ("A", "a", False),
        ("", "", True),
        ("*", "", True),
        ("ab*ba", "aba", False),
    ],
)
def test_a_backslash_takes_a_wildcard_as_it_is(pattern: str, word: str, found: bool) -> None:
    assert finds(pattern, word) == found


@pytest.mark.timeout(20)
def test_no_pattern_takes_long() -> None:
    """Of a regular expression made from it, this one would outlast us all."""
    assert not finds("*a" * 120 + "*b", "a" * 255)
    assert finds("*a?" * 80 + "*", "a" * 255)


@pytest.mark.timeout(20)
def test_all_patterns_of_a_request_take_no_long_time_on_many_things() -> None:
    """By an engine that tries one way after the other they would take minutes, and hold up everybody."""
    values = [f"*{'a?' * 8}b{number}*" for number in range(MAX_PATTERNS)]
    found = Filters[Any]([{"Name": "word", "Values": values}], LOOKS)
    assert not any(found({"words": ["a" * 255]}) for _ in range(1_000))


def test_any_value_of_each_filter_must_match() -> None:
    both = Filters[Any]([{"Name": "word", "Values": ["a", "b"]}, {"Name": "word", "Values": ["c"]}], LOOKS)
    assert both({"words": ["b", "c"]})
    assert not both({"words": ["a", "b"]})
    assert not both({"words": []})


def test_tags_are_looked_at_by_key_and_by_value() -> None:
    given = [{"Name": "tag:a:b", "Values": ["1"]}, {"Name": "tag-key", "Values": ["c*"]}]
    tagged = Filters[Any](given, LOOKS, lambda thing: thing)
    assert tagged({"a:b": "1", "c": ""})
    assert not tagged({"a:b": "1"})
    assert not tagged({"a:b": "2", "c": ""})


@pytest.mark.parametrize(
    "given",
    [
        [{"Name": "nothing", "Values": ["a"]}],
        [{"Name": "tag:a", "Values": ["a"]}],
        [{"Values": ["a"]}],
        [{"Name": "word"}],
        [{"Name": "word", "Values": ["a"] * (MAX_VALUES + 1)}],
        [{"Name": "word", "Values": ["a"]}] * (MAX_FILTERS + 1),
        [{"Name": "word", "Values": [f"{n}*" for n in range(one)]} for one in (1, MAX_PATTERNS)],
        [{"Name": "word", "Values": ["?" * 100_000]}],
    ],
)
def test_what_is_no_filter_is_refused(given: list[dict[str, Any]]) -> None:
    with pytest.raises(Ec2Error) as refused:
        Filters[Any](given, LOOKS)
    assert refused.value.code == "InvalidParameterValue"

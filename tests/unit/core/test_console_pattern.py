from __future__ import annotations

import pytest

from provisioner.core.console_pattern import MAX_LETTERS, find, wrong_with


def test_a_pattern_is_found_where_it_is_first() -> None:
    console = "Linux 6.1\nweb login: \ndb login: \n"
    assert find("^[a-z]+ login:", console) == "web login:"
    assert find("root@", console) is None


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_each_line_has_a_beginning_and_an_end(end: str) -> None:
    assert find("^db$", f"web{end}db{end}") == "db"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(a", "missing )"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        ("((a{1000}){1000}){1000}", "invalid repetition size"),
        ("a" * (MAX_LETTERS + 1), "257 letters, 256 are allowed"),
    ],
)
def test_what_cant_be_matched_in_linear_time_is_refused_with_its_cause(pattern: str, told: str) -> None:
    assert told in str(wrong_with(pattern))
    assert find(pattern, "aaaa") is None


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){12}b", "a*a*a*a*a*a*a*a*b"])
def test_a_pattern_that_others_try_for_ever_is_answered(pattern: str) -> None:
    """With an engine that goes back, one of these alone outlives this test's timeout."""
    assert wrong_with(pattern) is None
    assert find(pattern, "x" + "a" * 65_000 + "!") is None

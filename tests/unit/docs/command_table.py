"""The commands of a program, and the table of a page that tells of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

Words = tuple[str, ...]


def commands(command: Any, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    groups = getattr(command, "commands", None)
    if groups is not None:
        for name, inner in groups.items():
            yield from commands(inner, (*words, name))
    else:
        yield words, command


def rows(page: str) -> list[str]:
    """Those of its tables that begin with code."""
    return [line for line in page.splitlines() if line.startswith("| `")]


def first_cell(row: str) -> str:
    return row.partition(" | ")[0]


def call(row: str, words: Words) -> str:
    """How this row says that a command is called; "" when it doesn't."""
    found = re.search(rf"`{' '.join(words)}(?: [^`]*)?`", first_cell(row))
    return found.group() if found is not None else ""


def row_of(table: Iterable[str], words: Words) -> str:
    (row,) = (row for row in table if call(row, words))
    return row


def untold_options(row: str, words: Words, command: Any, elsewhere: Iterable[str]) -> list[set[str]]:
    """Options that a command has and its row doesn't tell. elsewhere: what the page tells of all commands."""
    told = call(row, words) + row.partition(" | ")[2]
    options = (
        {*option.opts, *option.secondary_opts}
        for option in command.params
        if option.param_type_name == "option"
    )
    return [
        names
        for names in options
        if not names & {"--help", *elsewhere}
        and not any(re.search(rf"(?<![\w-]){name}(?![\w-])", told) for name in names)
    ]

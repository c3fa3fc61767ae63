"""`docs/cli.md` and `docs/api.md` are written by hand; this holds them to the program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from provisioner.cli import exits
from provisioner.cli.main import app
from tests.described import described
from tests.unit.docs.command_table import Words, commands, first_cell, row_of, rows, untold_options

DOCS = Path(__file__).parents[3] / "docs"
CLI = (DOCS / "cli.md").read_text()
API = (DOCS / "api.md").read_text()


ALL = list(commands(typer.main.get_command(app)))
ROWS = rows(CLI)
FIRST_CELLS = [first_cell(row) for row in ROWS]
OPERATIONS = [
    (verb.upper(), path) for path, verbs in described()["paths"].items() for verb in verbs if verb != "head"
]


@pytest.mark.parametrize("words", [" ".join(words) for words, _ in ALL])
def test_every_command_is_in_the_table(words: str) -> None:
    assert any(re.search(rf"`{words}[` ]", cell) for cell in FIRST_CELLS)


def test_every_command_in_the_table_exists() -> None:
    known = {words for words, _ in ALL}
    for cell in FIRST_CELLS:
        for call in re.findall(r"`([a-z][^`]*)`", cell):
            words = tuple(re.match(r"[a-z -]+", call).group().split())  # type: ignore[union-attr]
            assert words in known or words[:2] in known, call


def test_every_option_in_the_table_exists_and_takes_json() -> None:
    for words, command in ALL:
        options = {name for parameter in command.params for name in parameter.opts}
        for cell in (cell for cell in FIRST_CELLS if f"`{' '.join(words)} " in cell):
            call = re.search(rf"`{' '.join(words)} ([^`]*)`", cell)
            assert call is not None
            assert set(re.findall(r"--[a-z-]+", call.group(1))) <= options, words
        if words not in (("serve",), ("api",), ("compute",), ("openapi",)):
            assert "--json" in options, words
        assert command.help, words


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_every_option_of_a_command_is_in_its_row(words: Words, command: Any) -> None:
    assert untold_options(row_of(ROWS, words), words, command, ["--json", "--idempotency-key"]) == []


@pytest.mark.parametrize("page", ["cli.md", "ec2.md"])
def test_what_is_typed_first_is_what_makes_the_commands_known(page: str) -> None:
    (first, *_) = re.findall(
        r"^(?: {4}\S.*\n)+", (DOCS / page).read_text().split("## From ")[1], re.MULTILINE
    )
    typed = [line.partition("  ")[0] for line in re.sub(r"^ {4}", "", first, flags=re.MULTILINE).splitlines()]
    assert typed[:2] == ["script/setup", "export PATH=$PWD/.venv/bin:$PATH"]


def test_every_exit_code_is_explained() -> None:
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", CLI, re.MULTILINE)} == codes


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_is_in_the_table(method: str, path: str) -> None:
    rows = [line for line in API.splitlines() if f"`{path}`" in line]
    assert any(re.match(rf"\|[A-Z, ]*\b{method}\b", row) for row in rows)


def test_every_operation_in_the_table_exists() -> None:
    known = {path for _, path in OPERATIONS} | {"/metrics"}
    for row in (line for line in API.splitlines() if re.match(r"\| (GET|POST|PUT|DELETE)", line)):
        for path in re.findall(r"`(/[^`]*)`", row.split("|")[2]):
            assert path in known, path

"""`docs/bmsim.md` is written by hand; this holds it to the program."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from bmsim.audit import Entry
from bmsim.cli import app, rack_app
from bmsim.devices.ipmi_codes import COMMANDS
from tests.unit.docs.command_table import Words, commands, first_cell, row_of, rows, untold_options

PAGE = (Path(__file__).parents[3] / "docs/bmsim.md").read_text()
ROWS = rows(PAGE.partition("## A provisioner in a rack")[0])
AUDIT = PAGE.partition("## The audit log")[2]
ALL = [(words, one) for words, one in commands(typer.main.get_command(app)) if words[0] in ("rack", "fault")]
OF_ALL = ("--state", "--rack", "--json")

each_command = pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])


@each_command
def test_a_command_is_in_the_table_with_all_its_options(words: Words, command: Any) -> None:
    assert untold_options(row_of(ROWS, words), words, command, OF_ALL) == []


def test_every_command_and_option_in_the_table_exists() -> None:
    known = {words: {name for one in command.params for name in one.opts} for words, command in ALL}
    secondary = {name for _, command in ALL for one in command.params for name in one.secondary_opts}
    calls = [call for row in ROWS for call in re.findall(r"`([a-z][^`]*)`", first_cell(row))]
    assert len(calls) == len(ALL)
    for call in calls:
        words = tuple(call.split()[:2])
        assert set(re.findall(r"--[a-z-]+", call)) <= known[words] | secondary, call


@each_command
def test_what_the_page_says_of_all_commands_is_so(words: Words, command: Any) -> None:
    options = {name for one in command.params for name in one.opts}
    assert ("--state" in options) is (words[0] == "rack")
    assert ("--rack" in options) is (words[0] == "rack" and words[1] not in ("up", "ls"))
    # A console, and what only does.
    assert ("--json" in options) is (
        words not in (("rack", "exec"), ("rack", "console"), ("rack", "fault"), ("rack", "heal"))
    )
    assert command.help


def test_every_exit_code_is_explained() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    _, _, codes = (rack_app.info.help or "").partition("Exit codes: ")
    assert told == {int(code) for code in re.findall(r"\d+", codes)} | {130}


def test_the_audit_log_has_the_fields_that_are_told() -> None:
    fields = [field.name for field in dataclasses.fields(Entry)]
    table = AUDIT.partition("| field | |")[2].partition("| device |")[0]
    assert [first_cell(row).strip("| `") for row in rows(table)] == fields
    (example,) = re.findall(r"```json\n(.*?)```", AUDIT, re.DOTALL)
    assert list(json.loads(example)) == list(json.loads(Entry(**json.loads(example)).to_json()))
    assert sorted(json.loads(example)) == sorted(fields)


@pytest.mark.parametrize("name", sorted({name for name, _ in COMMANDS.values()}))
def test_what_a_bmc_is_told_has_the_name_that_is_told(name: str) -> None:
    (row,) = (row for row in rows(AUDIT) if row.startswith("| `bmc` |"))
    assert re.search(rf"`{name}[.`]", row)

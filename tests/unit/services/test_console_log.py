from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from provisioner.services import console_log
from provisioner.services.console_log import ConsoleLog
from tests.unit import records
from tests.unit.spoken import says


def record(folder: Path, instance_id: str | None, *words: str) -> ConsoleLog:
    """By a new process."""

    async def story() -> ConsoleLog:
        book, console_of = says(folder)
        for said in words:
            console_of.said = said
            await console_of.recorded(book, records.node(id="n", instance_id=instance_id))
        return book

    return asyncio.run(story())


def test_an_instance_is_told_nothing_of_who_had_its_node_before(tmp_path: Path) -> None:
    book = record(tmp_path, "a", "a's secret\n")
    assert book.text("n", of="a") == "a's secret\n"
    assert book.text("n", of="b") == ""
    book = record(tmp_path, "b", "b's\n")
    assert book.text("n", of="b") == "b's\n"
    assert book.text("n", of="b", since=3) == "b's\n"
    assert book.text("n", of="b", tail_bytes=3) == "'s\n"
    assert book.text("n", of="a") == ""
    assert book.text("n") == "a's secret\nb's\n"


def test_what_is_said_between_two_instances_is_neithers(tmp_path: Path) -> None:
    record(tmp_path, "a", "a's\n")
    book = record(tmp_path, None, "wiped\n")
    assert (book.text("n", of="a"), book.text("n", of="b")) == ("", "")
    book = record(tmp_path, "b", "b's\n")
    assert (book.text("n", of="b"), book.text("n")) == ("b's\n", "a's\nwiped\nb's\n")


def test_a_process_that_takes_up_anew_goes_on_with_the_instances_part(tmp_path: Path) -> None:
    record(tmp_path, "a", "a's\n")
    record(tmp_path, "b", "first, ")
    assert record(tmp_path, "b", "second, ", "third").text("n", of="b") == "first, second, third"


def test_a_log_from_before_parts_were_kept_is_operators_alone(tmp_path: Path) -> None:
    (tmp_path / "n.log").write_text("somebody's\n")
    assert record(tmp_path, "b").text("n", of="b") == ""
    book = record(tmp_path, "b", "b's\n")
    assert (book.text("n", of="b"), book.text("n")) == ("b's\n", "somebody's\nb's\n")


def test_parts_keep_their_bounds_when_the_older_half_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_log, "MAX_FILE_BYTES", 20)
    record(tmp_path, "a", "a" * 15)
    book = record(tmp_path, "b", "b" * 6)
    assert (book.text("n"), book.text("n", of="b")) == ("a" * 4 + "b" * 6, "b" * 6)
    record(tmp_path, "b", "b" * 12)
    assert record(tmp_path, "b", "c").text("n", of="b") == "b" * 10 + "c"

"""The audit log: written by many, read while it grows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from bmsim.audit import AuditLog, Entry, follow, read


def entry(number: int, node: str = "n1") -> Entry:
    return Entry(
        t=1000.5 + number,
        node=node,
        device="bmc",
        sender="10.78.0.10:34567",
        command="chassis.bootdev.set",
        args={"device": "network"},
        result="ok",
    )


def test_what_was_written_is_read_in_order(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    written = [entry(number) for number in range(3)]
    for each in written:
        log.write(each)
    assert list(read(tmp_path / "audit.jsonl")) == written


def test_there_is_nothing_to_read_where_no_log_is(tmp_path: Path) -> None:
    assert list(read(tmp_path / "none.jsonl")) == []


def test_a_line_that_is_only_half_there_is_not_read_yet(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).write(entry(1))
    with path.open("a") as torn:
        torn.write('{"t": 12')
    assert list(read(path)) == [entry(1)]


def test_writers_side_by_side_dont_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    logs = [AuditLog(path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: logs[n % 4].write(entry(n, f"n{n % 4}")), range(400)))
    assert sorted(each.t for each in read(path)) == [entry(number).t for number in range(400)]


def test_a_follower_sees_what_is_there_and_what_comes_until_no_more_can(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log, more = AuditLog(path), True
    log.write(entry(1))
    entries = follow(path, lambda: more)
    assert next(entries) == entry(1)
    log.write(entry(2))
    log.write(entry(3))
    assert list(islice(entries, 2)) == [entry(2), entry(3)]
    more = False
    log.write(entry(4))
    assert list(entries) == [entry(4)]


def test_a_follower_of_a_log_that_is_gone_ends(tmp_path: Path) -> None:
    assert list(follow(tmp_path / "audit.jsonl", lambda: False)) == []


def test_a_line_for_people_has_all_of_it() -> None:
    line = entry(0).to_line()
    for part in ("n1", "10.78.0.10:34567", "chassis.bootdev.set device=network", "→ ok"):
        assert part in line

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from provisioner.cli import audit, hosts, images, instances, node_tables
from provisioner.cli.output import Output, by_name, cell

COLUMNS = {"name": "image", "state": "state", "sha256": "sha256", "why": "because"}
ROW = {
    "name": "debian",
    "state": "active",
    "sha256": "ab" * 32,
    "why": "no node fits: " + "it is active; " * 5,
}


def told(
    width: int, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], spare: Sequence[str]
) -> tuple[list[str], str]:
    out, err = StringIO(), StringIO()
    consoles = [Console(file=file, width=width, highlight=False) for file in (out, err)]
    Output(console=consoles[0], errors=consoles[1]).table(rows, columns, spare)
    return out.getvalue().splitlines(), err.getvalue()


def test_a_narrow_terminal_does_without_spare_columns_and_says_so() -> None:
    lines, left_out = told(60, [ROW], COLUMNS, ("sha256",))
    assert lines[0].split() == ["image", "state", "because"]
    assert len(lines) == 3  # what is told is folded, a little
    assert "no room for sha256" in left_out
    lines, left_out = told(200, [ROW], COLUMNS, ("sha256",))
    assert ("ab" * 32 in lines[1], left_out) == (True, "")


def test_of_the_spare_columns_no_more_are_left_out_than_must_be() -> None:
    row = {"a": "a" * 20, "b": "b" * 20, "c": "c" * 20}
    assert told(64, [row], {name: name for name in row}, ("b", "c"))[0][1].split() == list(row.values())
    assert told(63, [row], {name: name for name in row}, ("b", "c"))[0][1].split() == [row["a"], row["c"]]


UUID = "fd786132-22ad-4b85-9b4f-6362bbc037be"
SINCE = "2026-01-01T00:00:00Z"
LISTS = [
    (
        images,
        {
            "name": "debian-12-kernel",
            "kind": "ramdisk",
            "state": "active",
            "arch": "x86_64",
            "format": "qcow2",
        }
        | {"size_bytes": 2**31, "virtual_size_bytes": 2**31, "tenant": "default", "public": True}
        | {"sha256": "ab" * 32},
    ),
    (
        node_tables,
        {"name": "rack-12-node-03", "state": "deploy_failed", "power_state": "unknown", "arch": "x86_64"}
        | {"cpus": 128, "memory_mib": 524288, "disk_mib": 4000000, "instance": "web-frontend-17"}
        | {"owner": "compute-1", "maintenance_told": "yes"},
    ),
    (
        instances,
        {"name": "web-frontend-17", "state": "deploying", "node": "rack-12-node-03", "address": "10.77.0.100"}
        | {"flavor": "baremetal.small", "created_at": SINCE, "waiting_for": ""},
    ),
    (
        hosts,
        {"name": "compute-1", "state": "draining", "nodes": 1000, "working": 100, "lease_left_s": 59.9}
        | {"largest_free_node": {"memory_mib": 524288, "cpus": 128}, "renewed_at": SINCE, "epoch": 12},
    ),
]


@pytest.mark.parametrize(("module", "row"), LISTS, ids=[module.__name__ for module, _ in LISTS])
def test_a_list_of_things_with_long_names_is_a_line_each_on_80_columns(module: Any, row: Any) -> None:
    lines, _ = told(80, [row, row], module.COLUMNS, module.SPARE)
    assert len(lines) == 3
    assert row["name"] in lines[1]
    assert row["state"] in lines[1]


@pytest.mark.parametrize(
    ("width", "state"), [(80, True), (70, False)], ids=["80 columns", "even narrower, without the state"]
)
def test_hosts_with_long_names_tell_who_owns_what_and_whether_it_lives(width: int, state: bool) -> None:
    row = next(row for module, row in LISTS if module is hosts) | {"name": "compute-17.rack-3.example.test"}
    lines, left_out = told(width, [row, row], hosts.COLUMNS, hosts.SPARE)
    assert re.split(r" {2,}", lines[0].rstrip()) == [
        *("host", *(["state"] if state else []), "nodes", "lease, s", "last heartbeat")
    ]
    values = [row["name"], *(["draining"] if state else []), "1000", "59.9", cell("renewed_at", SINCE)]
    assert re.split(r" {2,}", lines[1].rstrip()) == values
    assert len(lines) == 3
    assert "largest free node, epoch" in left_out.replace("worked on, ", "")


def test_a_record_of_the_audit_log_is_told_in_few_lines_on_80_columns() -> None:
    row = {"at": SINCE, "tenant": "default", "user": "admin", "credential": "62076b24c107a309"}
    row |= {
        "operation": "DELETE /v1/instances/{instance}",
        "target": f"/v1/instances/{UUID}",
        "outcome": "done",
    }
    lines, _ = told(80, [row | {"request_id": UUID}], audit.COLUMNS, audit.SPARE)
    assert len(lines) <= 4
    assert cell("at", SINCE) in lines[1]


def test_what_was_always_there_has_no_date() -> None:
    assert cell("created_at", "1970-01-01T00:00:00Z") == ""
    assert cell("created_at", SINCE) != ""


def test_names_are_in_the_order_in_which_people_count() -> None:
    names = ["n10", "db", "n2", "n2-b", "d1", "rack-2-n1", "rack-10-n1", "N1", "2", "10"]
    found = [row["name"] for row in by_name([{"name": name} for name in names])]
    assert found == ["2", "10", "N1", "d1", "db", "n2", "n2-b", "n10", "rack-2-n1", "rack-10-n1"]

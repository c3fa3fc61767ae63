from __future__ import annotations

import re
from pathlib import Path

import pytest

import provisioner
from provisioner.core.blame import BLAME
from provisioner.core.diagnosis import diagnose
from provisioner.core.failures import FAILURES
from provisioner.core.failures_reference import page
from provisioner.core.ladders import DISK_INSTANCE_LADDERS, NETBOOT_INSTANCE_LADDERS, RAMDISK_LADDERS, Ladder
from provisioner.core.model import TimelineEvent
from tests.unit.records import event

ELSEWHERE = {"wipe-failed", "wipe-not-proven", "url-forbidden", "interrupted"}
"""No deploy fails with these."""

PAGE = page()
ROOM = FAILURES["storage-full"].remedy
LADDERS = [
    (driver, ladder)
    for ladders in (RAMDISK_LADDERS, NETBOOT_INSTANCE_LADDERS, DISK_INSTANCE_LADDERS)
    for driver, ladder in ladders.items()
]


def test_every_code_that_a_failure_may_have_is_explained() -> None:
    assert set(FAILURES) == set(BLAME) | ELSEWHERE
    assert all(f"\n| `{code}` | " in PAGE for code in FAILURES)


def test_every_code_that_no_deploy_fails_with_is_one_that_is_raised() -> None:
    sources = [file.read_text() for file in Path(provisioner.__path__[0]).rglob("*.py")]
    for code in ELSEWHERE:
        assert any(re.search(rf'(code ?= ?|CommandError\(\s*)"{code}"', source) for source in sources), code


def test_each_row_tells_as_much_as_its_table_has_columns() -> None:
    columns = 0
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        columns = columns or cells
        assert cells == columns, line


@pytest.mark.parametrize(("driver", "ladder"), LADDERS)
def test_what_a_boot_that_stops_is_told_by_stands_on_the_page(driver: str, ladder: Ladder) -> None:
    seen: list[TimelineEvent] = []
    for rung in ladder:
        found = diagnose(ladder, seen)
        (row,) = (
            line
            for line in PAGE.splitlines()
            if f"`{driver}`" in line and line.endswith(f" | {found.last_proven} | {found.likely_cause} |")
        )
        seen.append(event(rung.event, **({"file": rung.files[0]} if rung.files else {})))
        assert row


def test_settings_that_are_named_are_there() -> None:
    configuration = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
    named = re.findall(r"`((?:deploy|image_urls|nfs)\.[a-z_]+|[a-z]+_dir|root_device|keep_disks)`", PAGE)
    assert {"deploy.boot_deadline_s", "state_dir", "root_device", "keep_disks"} <= set(named)
    assert {"state_dir", "images_dir", "nfs.folder"} == set(re.findall(r"`([a-z_.]+)`", ROOM)), (
        "each can be full"
    )
    for name in named:
        assert re.search(rf"^\| `(nodes\[\]\.)?{re.escape(name)}` ", configuration, re.MULTILINE), name

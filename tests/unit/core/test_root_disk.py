from __future__ import annotations

import pytest

from provisioner.core.errors import PermanentError
from provisioner.core.root_disk import choose_root_disk, may_be_written

GIB = 2**30
DISKS = [
    {"path": "/dev/sdb", "size_bytes": 8 * GIB, "serial": "B"},
    {"path": "/dev/sda", "size_bytes": 4 * GIB, "serial": "A"},
]


def test_the_smallest_disk_that_is_large_enough_is_chosen() -> None:
    assert choose_root_disk(DISKS, {}, 2 * GIB)["path"] == "/dev/sda"
    assert choose_root_disk(DISKS, {}, 5 * GIB)["path"] == "/dev/sdb"


def test_a_hint_decides() -> None:
    assert choose_root_disk(DISKS, {"serial": "B"}, GIB)["path"] == "/dev/sdb"


def test_a_disk_that_is_too_small_is_named_with_both_sizes() -> None:
    with pytest.raises(PermanentError, match=r"9216 MiB are needed.*sda \(4096 MiB\)") as refused:
        choose_root_disk(DISKS, {}, 9 * GIB)
    assert refused.value.code == "disk-too-small"


def test_a_hint_that_matches_nothing_shows_what_is_there() -> None:
    with pytest.raises(PermanentError, match=r"serial=C: no disk matches.*sdb.*node disks"):
        choose_root_disk(DISKS, {"serial": "C"}, GIB)


def test_no_disk_at_all_hints_at_a_missing_driver() -> None:
    with pytest.raises(PermanentError, match=r"none.*controller's driver"):
        choose_root_disk([], {}, GIB)


def test_a_disk_that_is_to_be_kept_is_never_written_to() -> None:
    assert may_be_written(DISKS, ()) == DISKS
    left = may_be_written(DISKS, [{"serial": "A"}])
    assert choose_root_disk(left, {}, GIB)["path"] == "/dev/sdb", "though the other one is smaller"
    assert may_be_written(DISKS, [{"serial": "A"}, {"path": "/dev/sdb"}]) == []


def test_nothing_is_written_when_a_disk_that_is_to_be_kept_is_not_there() -> None:
    with pytest.raises(PermanentError, match=r"serial=C: no disk matches.*sdb.*node disks") as refused:
        may_be_written(DISKS, [{"serial": "A"}, {"serial": "C"}])
    assert refused.value.code == "disk-missing"

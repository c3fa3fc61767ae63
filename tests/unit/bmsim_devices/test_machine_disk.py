from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmsim.devices.disk import MIB, SECTOR_BYTES, Disk, DiskError, Extent

SIZE = 24
Write = tuple[int, int, str, int]  # offset, length, content, begin


@st.composite
def writes(draw: st.DrawFn) -> Write:
    offset = draw(st.integers(0, SIZE))
    return (
        offset,
        draw(st.integers(0, SIZE - offset)),
        draw(st.sampled_from(("", "a", "b"))),
        draw(st.integers(0, 6)),
    )


Naive = list[tuple[str, int]]  # each byte: whose it is, and which


def put(bytes_: Naive, write: Write) -> None:
    offset, length, content, begin = write
    bytes_[offset : offset + length] = [(content, begin + i if content else 0) for i in range(length)]


def spread(extents: list[Extent]) -> Naive:
    return [
        (content, begin + i if content else 0) for content, begin, length in extents for i in range(length)
    ]


@given(st.lists(writes(), max_size=12), st.integers(0, SIZE), st.integers(0, SIZE))
def test_it_reads_back_what_a_disk_of_bytes_would(written: list[Write], one: int, other: int) -> None:
    disk, naive = Disk(SIZE, content="old"), [("old", i) for i in range(SIZE)]
    for offset, length, content, begin in written:
        disk.write(offset, length, content, begin)
        put(naive, (offset, length, content, begin))
    begin, end = sorted((one, other))
    assert spread(disk.read(begin, end - begin)) == naive[begin:end]


@given(st.lists(writes(), max_size=12))
def test_neighbours_that_continue_each_other_are_one_extent(written: list[Write]) -> None:
    disk = Disk(SIZE)
    for write in written:
        disk.write(*write)
    extents = disk.extents()
    for left, right in pairwise(extents):
        assert left.content != right.content or (
            left.content != "" and left.begin + left.length != right.begin
        )
    assert sum(extent.length for extent in extents) == SIZE


@given(st.lists(writes(), max_size=8), st.lists(writes(), max_size=8), st.integers(0, SIZE))
def test_digests_are_equal_exactly_where_the_bytes_are(
    one: list[Write], other: list[Write], end: int
) -> None:
    disks, naives = (Disk(SIZE), Disk(SIZE)), ([("", 0)] * SIZE, [("", 0)] * SIZE)
    for disk, naive, written in zip(disks, naives, (one, other), strict=True):
        for write in written:
            disk.write(*write)
            put(naive, write)
    assert (disks[0].digest(0, end) == disks[1].digest(0, end)) == (naives[0][:end] == naives[1][:end])


@given(st.lists(writes(), max_size=8), writes())
def test_it_holds_a_content_exactly_where_each_byte_is_its(written: list[Write], asked: Write) -> None:
    disk, naive = Disk(SIZE), [("", 0)] * SIZE
    for write in written:
        disk.write(*write)
        put(naive, write)
    offset, length, content, begin = asked
    expected = list(naive)
    put(expected, asked)
    assert disk.holds(offset, length, content, begin) == (expected == naive)


def test_an_image_written_in_pieces_is_the_image() -> None:
    disk = Disk(100 * MIB, content="somebody's")
    for piece in (3, 0, 2, 1):
        disk.write(MIB + piece * 8 * MIB, 8 * MIB, "image", piece * 8 * MIB)
    assert disk.holds(MIB, 32 * MIB, "image")
    disk.write(20 * MIB, 1, "image", 0)
    assert not disk.holds(MIB, 32 * MIB, "image")


def test_a_write_that_fails_has_written_what_came_before() -> None:
    disk = Disk(8 * MIB)
    disk.give_faults({"disk.write_error": {"at_mib": 2}})
    with pytest.raises(DiskError, match="vda: I/O error, writing sector 4096"):
        disk.write(0, 8 * MIB, "image")
    assert disk.extents() == [Extent("image", 0, 2 * MIB), Extent("", 0, 6 * MIB)]
    disk.write(3 * MIB, MIB, "beside it")


def test_every_write_fails_where_no_place_is_named() -> None:
    disk = Disk(8 * MIB)
    disk.give_faults({"disk.write_error": {"at_mib": None}})
    with pytest.raises(DiskError):
        disk.zero(5 * MIB, 1)
    assert disk.holds(0, 8 * MIB, "")


def test_a_bad_place_is_read_by_nobody_and_still_known() -> None:
    disk = Disk(8 * MIB, content="x")
    disk.give_faults({"disk.read_error": {"at_mib": 2}})
    assert disk.read(0, 2 * MIB) == [("x", 0, 2 * MIB)]
    with pytest.raises(DiskError, match="reading sector 4096"):
        disk.read(0, 2 * MIB + 1)
    assert disk.holds(0, 8 * MIB, "x")
    disk.give_faults({})
    assert disk.read(0, 8 * MIB) == [("x", 0, 8 * MIB)]


def test_a_silently_corrupted_write_succeeds_and_is_not_the_image() -> None:
    disk = Disk(8 * MIB)
    disk.give_faults({"disk.corrupts_writes": {"at_mib": 2}})
    disk.write(0, 8 * MIB, "image")
    assert not disk.holds(0, 8 * MIB, "image")
    assert disk.read(2 * MIB, SECTOR_BYTES) == [("not image", 2 * MIB, SECTOR_BYTES)]


def test_size_name_and_presence_change_with_the_machines_next_start() -> None:
    disk = Disk(128 * MIB)
    disk.give_faults({"disk.too_small": {"size_mib": 64}, "disk.renamed": {}})
    assert (disk.size_bytes, disk.name) == (128 * MIB, "vda")
    disk.machine_started()
    assert (disk.size_bytes, disk.name) == (64 * MIB, "vdb")
    with pytest.raises(DiskError, match="lies beyond"):
        disk.write(64 * MIB, 1, "image")
    disk.give_faults({"disk.missing": {}})
    disk.machine_started()
    with pytest.raises(DiskError, match="no such device"):
        disk.read(0, 1)
    disk.give_faults({})
    disk.machine_started()
    assert (disk.size_bytes, disk.name, disk.present) == (128 * MIB, "vda", True)


def test_a_slow_disk_says_how_slow() -> None:
    struck: list[str] = []
    disk = Disk(MIB, strikes=struck.append)
    assert disk.takes_s(2.0) == 2.0
    assert not struck
    disk.give_faults({"disk.slow": {"factor": 10}, "bmc.busy": {}})
    assert disk.takes_s(2.0) == 20.0
    assert struck == ["disk.slow"]

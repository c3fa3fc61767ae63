"""The two layouts of a deploy, computed on values."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from provisioner.agent.errors import CommandError
from provisioner.agent.partition_table import (
    Layout,
    Table,
    around_root_filesystem,
    brought_along,
    extras,
    inside_whole_disk,
    parse,
)

SEED = uuid.UUID("7d0a2a54-4c1e-4a6b-9a52-0d3b8e4f6c11")
MIB = 2048  # sectors of 512 bytes
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"


def around(
    disk_mib: int, root_mib: int, swap_mib: int = 256, ephemeral_mib: int = 0, sector: int = 512
) -> Layout:
    return around_root_filesystem(
        seed=SEED,
        sector=sector,
        disk_sectors=disk_mib * 2**20 // sector,
        offset_bytes=2**20,
        root_bytes=root_mib * 2**20,
        extras=extras(ephemeral_mib=ephemeral_mib, swap_mib=swap_mib, config_mib=8),
    )


def inside(found: Table, root: int | None, swap_mib: int = 256, ephemeral_mib: int = 0) -> Layout:
    wanted = extras(ephemeral_mib=ephemeral_mib, swap_mib=swap_mib, config_mib=8)
    return inside_whole_disk(found, seed=SEED, root=root, extras=wanted)


def image_table(label: str, partitions: list[tuple[int, int, int, str]], disk_mib: int) -> Table:
    """(number, first MiB, MiB, type) → the table as sfdisk tells of it."""
    entries: list[dict[str, Any]] = [
        {"node": f"/dev/nvme0n1p{number}", "start": start * MIB, "size": size * MIB, "type": kind}
        for number, start, size, kind in partitions
    ]
    dump = {"partitiontable": {"label": label, "id": "0x1234", "sectorsize": 512, "partitions": entries}}
    return parse(dump, disk_mib * MIB)


def places(layout: Layout) -> dict[int, tuple[float, float]]:
    """number → (first MiB, MiB)"""
    return {part.number: (part.start / MIB, part.size / MIB) for part in layout.table.partitions}


def test_root_takes_what_swap_and_config_drive_leave() -> None:
    layout = around(disk_mib=8192, root_mib=2048)
    # the last MiB holds the table's second copy
    assert places(layout) == {1: (1, 7926), 2: (7927, 256), 3: (8183, 8)}
    assert (layout.root, layout.swap, layout.config) == (1, 2, 3)


def test_without_swap_the_config_drive_is_the_second_partition() -> None:
    layout = around(disk_mib=8192, root_mib=2048, swap_mib=0)
    assert places(layout) == {1: (1, 8182), 2: (8183, 8)}
    assert (layout.root, layout.swap, layout.config) == (1, None, 2)


def test_ephemeral_storage_lies_between_root_and_swap() -> None:
    layout = around(disk_mib=8192, root_mib=2048, ephemeral_mib=1000)
    assert places(layout) == {1: (1, 6926), 2: (6927, 1000), 3: (7927, 256), 4: (8183, 8)}
    assert (layout.root, layout.ephemeral, layout.swap, layout.config) == (1, 2, 3, 4)
    layout = inside(image_table("dos", [(1, 1, 2047, "83")], 8192), 1, ephemeral_mib=1000)
    assert places(layout) == {1: (1, 6927), 2: (6928, 1000), 3: (7928, 256), 4: (8184, 8)}
    assert [part.type for part in layout.table.partitions] == ["83", "83", "82", "c"]


def test_ephemeral_storage_that_is_there_already_is_not_taken_for_the_images() -> None:
    """It may be the largest, and have a Linux file system: it isn't the root all the same."""
    found = image_table("gpt", [(1, 131, 1917, LINUX), (15, 4, 127, ESP)], 8192)
    layout = inside(found, 1, ephemeral_mib=5000)
    wanted = extras(ephemeral_mib=5000, swap_mib=256, config_mib=8)
    assert [part.number for part in brought_along(layout.table, wanted)] == [1, 15]
    assert inside(layout.table, 1, ephemeral_mib=5000) == layout


def test_a_disk_of_4_kib_sectors_gets_the_same_layout_in_bytes() -> None:
    small, large = around(8192, 2048), around(8192, 2048, sector=4096)
    in_bytes = [(part.start * 512, part.size * 512) for part in small.table.partitions]
    assert [(part.start * 4096, part.size * 4096) for part in large.table.partitions] == in_bytes


def test_the_same_comes_out_twice_and_something_else_for_another_node() -> None:
    assert around(8192, 2048) == around(8192, 2048)
    other = around_root_filesystem(
        seed=uuid.uuid4(), sector=512, disk_sectors=8192 * MIB, offset_bytes=2**20,
        root_bytes=2**31, extras=extras(ephemeral_mib=0, swap_mib=256, config_mib=8),
    )  # fmt: skip
    assert other.table.partitions[0].uuid != around(8192, 2048).table.partitions[0].uuid


@pytest.mark.parametrize(("disk_mib", "fits"), [(2048 + 1 + 256 + 8 + 1, True), (2048 + 1 + 256 + 8, False)])
def test_a_disk_is_large_enough_to_the_mib_or_refused(disk_mib: int, fits: bool) -> None:
    if fits:
        assert places(around(disk_mib, 2048))[1] == (1, 2048)
        return
    with pytest.raises(CommandError) as error:
        around(disk_mib, 2048)
    assert error.value.code == "disk-too-small"
    assert "1 MiB more" in error.value.message


def test_a_whole_disk_keeps_its_partitions_and_its_last_one_grows() -> None:
    found = image_table("gpt", [(1, 131, 1917, LINUX), (14, 1, 3, BIOS_BOOT), (15, 4, 127, ESP)], 8192)
    layout = inside(found, 1, swap_mib=256)
    assert places(layout) == {1: (131, 7796), 14: (1, 3), 15: (4, 127), 2: (7927, 256), 3: (8183, 8)}
    assert (layout.root, layout.swap, layout.config) == (1, 2, 3)


def test_a_whole_disk_done_twice_is_the_same() -> None:
    found = image_table("gpt", [(1, 131, 1917, LINUX), (15, 4, 127, ESP)], 8192)
    once = inside(found, 1, swap_mib=256)
    assert inside(once.table, 1, swap_mib=256) == once


def test_a_root_with_another_partition_behind_it_is_left_as_it_is() -> None:
    found = image_table("gpt", [(1, 1, 100, LINUX), (2, 101, 50, ESP)], 8192)
    layout = inside(found, 1, swap_mib=0)
    assert places(layout)[1] == (1, 100)


def test_nothing_grows_when_the_root_is_not_known() -> None:
    found = image_table("gpt", [(1, 1, 100, LINUX)], 8192)
    layout = inside(found, None, swap_mib=0)
    assert places(layout) == {1: (1, 100), 2: (8183, 8)}
    assert layout.root is None


def test_an_mbr_disk_gets_mbr_types_and_its_flags_are_kept() -> None:
    found = image_table("dos", [(1, 1, 2047, "83")], 8192)
    found = found._replace(partitions=(found.partitions[0]._replace(bootable=True),))
    layout = inside(found, 1, swap_mib=256)
    assert [part.type for part in layout.table.partitions] == ["83", "82", "c"]
    assert "bootable" in layout.table.script()
    assert "uuid=" not in layout.table.script()


def test_an_mbr_table_without_room_is_refused_by_name() -> None:
    found = image_table("dos", [(number, number * 10, 10, "83") for number in (1, 2, 3)], 8192)
    with pytest.raises(CommandError) as error:
        inside(found, 3, swap_mib=256)
    assert error.value.code == "partition-table-full"


def test_a_logical_partition_does_not_grow_out_of_its_extended_one() -> None:
    found = image_table("dos", [(1, 1, 100, "83"), (2, 101, 1000, "5"), (5, 102, 900, "83")], 8192)
    layout = inside(found, 5, swap_mib=0)
    assert places(layout)[5] == (102, 900)


def test_an_image_that_reaches_into_the_space_for_swap_is_refused() -> None:
    found = image_table("gpt", [(1, 1, 2047, LINUX)], 2048 + 100)
    with pytest.raises(CommandError) as error:
        inside(found, 1, swap_mib=256)
    assert error.value.code == "disk-too-small"

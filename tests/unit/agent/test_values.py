"""What is computed without touching a disk."""

from __future__ import annotations

import ast
import hashlib
import os
import random
from pathlib import Path

import pytest

import provisioner.agent
from provisioner.agent import fat
from provisioner.agent.kernel_command_line import BadCommandLine, parse
from provisioner.agent.tgtd import REQUEST
from provisioner.agent.wipe import EDGE_BYTES, edges
from provisioner.core import image_digest
from provisioner.core.image_digest import TreeDigest, zeros_tree_digest

GOOD = {
    "provisioner.node": "7d0a2a54-4c1e-4a6b-9a52-0d3b8e4f6c11",
    "provisioner.token": "0123456789abcdef0123456789abcdef",
    "provisioner.announce": "http://10.77.0.10:8080/agent/v1/hello,http://10.77.0.11:8080/agent/v1/hello",
    "provisioner.fence": "7",
    "BOOTIF": "01-52-54-00-77-00-01",
}


def line(**changes: str | None) -> str:
    words = {**GOOD, **{name.replace("__", "."): value for name, value in changes.items()}}
    return " ".join(["quiet", *(f"{name}={value}" for name, value in words.items() if value is not None)])


def test_the_boot_orders_are_read_from_the_kernel_command_line() -> None:
    orders = parse(line())
    assert orders.node == GOOD["provisioner.node"]
    assert orders.announce_urls == tuple(GOOD["provisioner.announce"].split(","))
    assert orders.boot_mac == "52:54:00:77:00:01"
    assert orders.fence == 7
    assert orders.token == GOOD["provisioner.token"] and orders.token not in repr(orders)


@pytest.mark.parametrize("bootif", ["52:54:00:AA:00:01", "52-54-00-aa-00-01", "01-52-54-00-AA-00-01"])
def test_every_boot_loaders_form_of_bootif_is_understood(bootif: str) -> None:
    assert parse(line(BOOTIF=bootif)).boot_mac == "52:54:00:aa:00:01"


def test_a_boot_loader_may_not_say_which_port_it_used() -> None:
    assert parse(line(BOOTIF=None)).boot_mac == ""


def test_a_provisioner_of_before_says_no_fence() -> None:
    assert parse(line(provisioner__fence=None)).fence == 0


@pytest.mark.parametrize(
    "change",
    [
        {"provisioner__fence": "-1"},
        {"provisioner__node": None},
        {"provisioner__node": "a/b"},
        {"provisioner__token": None},
        {"provisioner__token": "short"},
        {"provisioner__announce": None},
        {"provisioner__announce": "https://10.0.0.1/"},
        {"provisioner__announce": "http://a/,ftp://b/"},
    ],
)
def test_a_bad_command_line_is_told_by_the_word_that_is_wrong(change: dict[str, str | None]) -> None:
    name = next(iter(change)).replace("__", ".")
    with pytest.raises(BadCommandLine, match=name) as error:
        parse(line(**change))
    assert GOOD["provisioner.token"] not in str(error.value)


def test_the_tree_digest_is_the_sha256_of_the_chunks_sha512s() -> None:
    content = os.urandom(10_000) + bytes(50_000) + b"end"
    chunks = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    expected = hashlib.sha256(b"".join(hashlib.sha512(chunk).digest() for chunk in chunks)).hexdigest()
    pieces = random.Random(7)
    digest, at = TreeDigest(4096), 0
    while at < len(content):
        size = pieces.choice([1, 100, 4095, 4096, 4097, 20_000])
        digest.update(content[at : at + size])
        at += size
    assert digest.hexdigest() == f"sha512-tree:{expected}"
    assert digest.hexdigest() == f"sha512-tree:{expected}", "asking changes nothing"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 12_288])
def test_the_digest_of_zeros_is_known_without_reading_them(size: int) -> None:
    digest = TreeDigest(4096)
    digest.update(bytes(size))
    assert zeros_tree_digest(size, 4096) == digest.hexdigest()


def test_a_single_bit_in_a_chunk_of_zeros_changes_the_digest() -> None:
    for position in (0, 4095, 8191):
        content = bytearray(8192)
        content[position] = 1
        digest = TreeDigest(4096)
        digest.update(content)
        assert digest.hexdigest() != zeros_tree_digest(8192, 4096)


def test_a_quick_wipe_covers_both_ends_of_the_disk_and_of_each_partition() -> None:
    size = 1000 * EDGE_BYTES
    partition = (100 * EDGE_BYTES + 512, 200 * EDGE_BYTES + 512)
    spans = edges([(0, size), partition], size)
    wiped = [
        (0, EDGE_BYTES),
        (partition[0], partition[0] + EDGE_BYTES),
        (partition[1] - EDGE_BYTES, partition[1]),
    ]
    for first, end in [*wiped, (size - EDGE_BYTES, size)]:
        assert any(start <= first and end <= stop for start, stop in spans), (first, end)
    assert all(start % 4096 == 0 and (stop % 4096 == 0 or stop == size) for start, stop in spans)
    assert sum(stop - start for start, stop in spans) < 4 * EDGE_BYTES + 4 * 4096


def test_the_ends_of_a_small_disk_are_wiped_once() -> None:
    assert edges([(0, EDGE_BYTES + 512)], EDGE_BYTES + 512) == [(0, EDGE_BYTES + 512)]


def test_equal_files_make_an_equal_config_drive() -> None:
    files = {"meta-data": b"a", "user-data": b"b" * 5000}
    assert fat.image(8 * 2**20, "CIDATA", 1, files) == fat.image(8 * 2**20, "CIDATA", 1, files)


def test_files_that_do_not_fit_the_config_drive_are_refused() -> None:
    with pytest.raises(fat.DoesNotFit, match="in a volume of 8388608 bytes"):
        fat.image(8 * 2**20, "CIDATA", 1, {"user-data": bytes(8 * 2**20 + 1)})
    with pytest.raises(fat.DoesNotFit):
        fat.image(16 * 512, "CIDATA", 1, {"user-data": b"x"})


def test_orders_to_tgtd_have_the_layout_that_tgtadm_sends() -> None:
    # strace of: tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b /dev/sda --bstype rdwr
    sent = bytes.fromhex("0200000000000000" + b"iscsi".hex() + "00" * 59 + "9200000001000000") + (
        bytes(8) + (1).to_bytes(8, "little") + bytes(24)
    )
    assert REQUEST.pack(2, 0, b"iscsi", 146, 1, 0, 1, 0, 0, 0, 0, 0, 0) == sent


def test_the_agent_has_no_syntax_newer_than_python_3_9() -> None:
    sources = [*Path(provisioner.agent.__file__).parent.glob("*.py"), Path(image_digest.__file__)]
    assert len(sources) > 15
    for source in sources:
        ast.parse(source.read_text(), str(source), feature_version=(3, 9))

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import threading
from pathlib import Path

import pytest

from provisioner.core.errors import InvalidInput, NotFound, PermanentError
from provisioner.core.image_digest import TreeDigest
from provisioner.core.model import ImageKind
from provisioner.protocols.image import StoredImage
from provisioner.services.image_store import ImageStore
from tests.unit.services.image_store.content import MIB, disk, files, qcow2, save


def digest(raw: bytes) -> str:
    tree = TreeDigest()
    tree.update(raw)
    return tree.hexdigest()


def test_raw_bytes_are_stored_under_their_sha256(store: ImageStore) -> None:
    raw = disk()
    sha256 = hashlib.sha256(raw).hexdigest()
    stored = asyncio.run(save(store, raw, expected_sha256=sha256.upper()))
    assert stored == StoredImage(
        sha256=sha256, size_bytes=len(raw), virtual_size_bytes=len(raw), tree_digest=digest(raw)
    )
    assert store.path(sha256).read_bytes() == raw


def test_zeros_take_no_room_on_the_disk(store: ImageStore) -> None:
    raw = disk(64)
    stored = asyncio.run(save(store, raw))
    path = store.path(stored.sha256)
    assert path.read_bytes() == raw
    assert path.stat().st_blocks * 512 < 2 * MIB


@pytest.mark.parametrize("options", [(), ("-c",), ("-o", "compat=0.10"), ("-o", "cluster_size=2M")], ids=str)
def test_qcow2_is_stored_as_it_is_and_known_by_its_raw_content(
    store: ImageStore, root: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    raw = disk()
    packed = qcow2(tmp_path, raw, *options)
    stored = asyncio.run(save(store, packed, format="qcow2"))
    assert stored.virtual_size_bytes == len(raw)
    assert stored.tree_digest == digest(raw)
    assert [path.read_bytes() for path in files(root)] == [packed]


def test_an_empty_disk_is_digested_without_reading_it(store: ImageStore, tmp_path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "x", "200G"], check=True)
    stored = asyncio.run(save(store, (tmp_path / "x").read_bytes(), format="qcow2"))
    assert stored.virtual_size_bytes == 200 * 2**30


@pytest.mark.parametrize("kind", [ImageKind.KERNEL, ImageKind.RAMDISK])
def test_kernels_and_ramdisks_are_kept_whatever_they_are(store: ImageStore, kind: ImageKind) -> None:
    content = b"\x1f\x8b a packed ramdisk of an odd length"
    stored = asyncio.run(save(store, content, kind=kind))
    assert store.path(stored.sha256).read_bytes() == content


def test_nothing_else_waits_while_the_disk_that_an_image_was_unpacked_to_is_removed(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes a second for ten gigabytes that were written just now."""
    removing, unlink = set[int](), Path.unlink

    def removed(path: Path, missing_ok: bool = False) -> None:
        removing.add(threading.get_ident())
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", removed)
    asyncio.run(save(store, qcow2(tmp_path, disk()), format="qcow2"))
    assert removing
    assert threading.get_ident() not in removing, "the loop's own thread"


def test_the_same_bytes_are_stored_once_even_at_the_same_time(store: ImageStore, root: Path) -> None:
    async def story() -> list[StoredImage]:
        return list(await asyncio.gather(*(save(store, disk()) for _ in range(4))))

    first, *others = asyncio.run(story())
    assert others == [first] * 3
    assert len(files(root)) == 1


@pytest.mark.parametrize("name", ["", "a", "../" + "a" * 61, "A" * 64, "a" * 63 + "\n", "a" * 65])
def test_no_name_leads_out_of_the_store(store: ImageStore, name: str) -> None:
    with pytest.raises(InvalidInput, match="64 lower-case hex digits"):
        store.path(name)
    with pytest.raises(InvalidInput):
        asyncio.run(store.delete(name))


def test_deleted_bytes_are_gone_and_may_be_deleted_again(store: ImageStore) -> None:
    stored = asyncio.run(save(store, disk()))
    for _ in range(2):
        asyncio.run(store.delete(stored.sha256))
    with pytest.raises(NotFound, match="Register the image again"):
        store.path(stored.sha256)


def test_a_program_that_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    store = ImageStore(root, "qemu-img-of-nobody")
    with pytest.raises(PermanentError, match=r"qemu-img-of-nobody.*Install qemu-utils"):
        asyncio.run(save(store, qcow2(tmp_path, disk()), format="qcow2"))
    assert files(root) == []

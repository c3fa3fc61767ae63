"""Whatever a tenant has put into an image: it leads nobody out of its root, and holds nobody up."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provisioner.core.errors import ImageInvalid, StorageFull
from provisioner.services.tenant_tree import write_all
from tests.wire.services.conftest import play
from tests.wire.services.root_images import NAME, folders, image_of, make

pytestmark = pytest.mark.wire


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**28)


NO_FSTABS: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
    "a device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a huge file": a_sparse_file,
}


@pytest.mark.parametrize("missing", ["var/lib/cloud/seed/nocloud/user-data", "etc/motd"])
def test_a_disk_that_has_room_for_no_file_more_is_told_as_full(missing: str, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    # Of names, there is room for the root, /etc and /var.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=3", "tmpfs", str(small)], check=True)
    try:
        for name in ("etc", "var"):
            (small / name).mkdir()
        with pytest.raises(StorageFull, match=r"write into the root directory.* are free"):
            write_all(small, {missing: "words"})
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_what_is_written_may_be_read_by_whom_it_is_for_whatever_our_own_umask(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o711)
    before = os.umask(0o077)
    try:
        write_all(tmp_path, {"etc/network/interfaces": "words", "var/lib/seed/user-data": "words"})
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in tmp_path.rglob("*")
    }
    folders_made = dict.fromkeys(("etc/network", "var", "var/lib", "var/lib/seed"), "0o755")
    files = {"etc/network/interfaces": "0o644", "var/lib/seed/user-data": "0o600"}
    assert modes == {"etc": "0o711"} | folders_made | files


@pytest.mark.timeout(60, method="thread")  # the thread that opens a pipe can't be cancelled
@pytest.mark.parametrize("kind", NO_FSTABS)
def test_an_fstab_that_is_no_file_of_sane_size_is_refused_unread(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tree/etc").mkdir(parents=True)
    NO_FSTABS[kind](tmp_path / "tree/etc/fstab")
    with pytest.raises(ImageInvalid, match=r"/etc/fstab: it (is no regular file|has 268435456 bytes)"):
        make(tmp_path / "roots", *image_of(tmp_path / "tree"))
    assert [*(tmp_path / "roots/nodes").iterdir(), *(tmp_path / "roots/drafts").iterdir()] == []


@pytest.mark.timeout(60, method="thread")
@pytest.mark.parametrize("name", ["var/lib/seed/user-data", "var/lib/seed", "var"])
@pytest.mark.parametrize("kind", ["a pipe", "a directory", "a device"])
def test_whatever_lies_where_a_file_is_written_is_replaced_or_refused(
    kind: str, name: str, tmp_path: Path
) -> None:
    lying = tmp_path / "tree" / name
    lying.parent.mkdir(parents=True)
    NO_FSTABS[kind](lying)
    image, digest = image_of(tmp_path / "tree")
    if (kind == "a directory") == (name == "var/lib/seed/user-data"):
        with pytest.raises(ImageInvalid, match=r"var/lib/seed.* of the root directory: "):
            make(tmp_path / "roots", image, digest)
    else:
        assert (make(tmp_path / "roots", image, digest) / "var/lib/seed/user-data").read_text() == "text"


def test_a_link_in_an_image_leads_nobody_out_of_its_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "var").symlink_to(outside)
    with pytest.raises(ImageInvalid, match="a link or a file of the image lies in the way"):
        make(tmp_path / "roots", *image_of(tree))
    assert list(outside.iterdir()) == []


DEEP = 3000
"""Folders in folders: more than Python's stack has frames, and their path is longer than any may be."""


def a_deep_tree(folder: Path) -> None:
    below = os.open(folder, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=below)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=below))
        inner = os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = inner
    os.close(below)


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[Path]:
    """What a failure leaves there is too deep for pytest to remove."""
    yield tmp_path
    subprocess.run(["rm", "-rf", "--one-file-system", *map(str, tmp_path.iterdir())], check=True)


def test_folders_in_folders_are_removed_however_deep(tmp_path: Path, swept: Path) -> None:
    root = tmp_path / "nodes" / NAME
    root.mkdir(parents=True)
    a_deep_tree(root)
    (root / "link").symlink_to(tmp_path)

    async def story() -> None:
        await folders(tmp_path).remove("node-1", fence=3)

    play(story)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["drafts", "images", "nodes", "removed"]


def test_a_sweep_comes_past_deep_folders_in_a_draft_of_the_dead(tmp_path: Path, swept: Path) -> None:
    dead = tmp_path / "drafts/ch1@dead"
    dead.mkdir(parents=True)
    a_deep_tree(dead)
    play(folders(tmp_path).remove_abandoned)
    assert list((tmp_path / "drafts").iterdir()) == []

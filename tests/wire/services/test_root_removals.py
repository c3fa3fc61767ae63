"""Roots and drafts that are removed: those of the dead, of older owners, and no others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Callable
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import PermanentError, StorageFull
from provisioner.protocols.roots import folder_name
from provisioner.services import draft_folders, root_folders, tenant_tree
from provisioner.services.draft_folders import ABANDONED_S
from tests.wire.services.conftest import play
from tests.wire.services.root_images import NAME, folders

pytestmark = pytest.mark.wire


def test_drafts_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    drafts = tmp_path / "drafts"
    (drafts / "ch1@dead").mkdir(parents=True)
    (drafts / "ch11@at-work-on-shared-storage").mkdir()
    living = drafts / "ch1@living"
    living.mkdir()
    pipe = subprocess.PIPE
    with subprocess.Popen(["flock", str(living), "cat"], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.read(1)  # it holds the lock by now
        play(folders(tmp_path).remove_abandoned)
        assert {path.name for path in drafts.iterdir()} == {"ch1@living", "ch11@at-work-on-shared-storage"}


def test_drafts_of_a_host_that_is_lost_for_good_are_removed_once_nobody_can_be_at_work(
    tmp_path: Path,
) -> None:
    lost, shared = tmp_path / "drafts/ch2@raw", tmp_path / "drafts/ch2@new"
    for draft in (lost, shared):
        draft.mkdir(parents=True)
        (draft / "raw").write_text("an image")
    hours_ago = time.time() - ABANDONED_S - 60
    os.utime(lost, (hours_ago, hours_ago))
    play(folders(tmp_path).remove_abandoned)
    assert [path.name for path in (tmp_path / "drafts").iterdir()] == [shared.name]


@pytest.mark.parametrize("opened_first", [False, True])
def test_a_draft_that_is_taken_for_abandoned_before_its_maker_has_locked_it_is_made_anew(
    opened_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of this host looks through them just then."""
    one, other = folders(tmp_path), folders(tmp_path)
    os_open, swept = os.open, list[Path]()

    def opened(path: Path, *args: Any, **named: Any) -> int:
        if Path(path).parent != tmp_path / "drafts" or swept:
            return os_open(path, *args, **named)
        swept.append(path)
        descriptor = os_open(path, *args, **named) if opened_first else -1
        other._drafts.remove_abandoned()
        return descriptor if opened_first else os_open(path, *args, **named)

    async def story() -> None:
        monkeypatch.setattr(os, "open", opened)
        async with one._drafts.draft() as draft:
            other._drafts.remove_abandoned()
            assert [*(tmp_path / "drafts").iterdir()] == [draft]
        assert swept
        assert [*(tmp_path / "drafts").iterdir()] == []

    play(story)


@pytest.mark.parametrize("left", ["removed/node-1.3.a", "drafts/ch2@0123@node-1.3.a"])
def test_what_another_host_died_at_is_removed_with_the_nodes_roots(tmp_path: Path, left: str) -> None:
    async def story() -> None:
        made = folders(tmp_path)
        for name in (left, left.replace("node-1.3", "node-1.4"), left.replace("node-1.3", "node-10.3")):
            (tmp_path / name / "root").mkdir(parents=True)
            (tmp_path / name / "root/secret").write_text("a tenant's")
        assert await made.names() == []
        assert await made.unfinished() == ["node-1.3.a", "node-1.4.a", "node-10.3.a"]
        await made.remove("node-1", fence=3)
        assert await made.unfinished() == ["node-1.4.a", "node-10.3.a"]
        assert len([*tmp_path.rglob("secret")]) == 2

    play(story)


def test_a_root_that_two_hosts_remove_at_once_is_gone_for_both(tmp_path: Path) -> None:
    async def story() -> None:
        one, other = folders(tmp_path), folders(tmp_path)
        for number in range(200):
            folder = tmp_path / "nodes" / NAME / f"{number % 20}" / "deep" / f"{number}"
            folder.mkdir(parents=True)
            (folder / "file").write_text("")
        await asyncio.gather(*(host.remove("node-1", fence=3) for host in (one, other)))
        assert await one.unfinished() == await other.names() == []

    play(story)


def test_only_folders_of_older_owners_are_removed(tmp_path: Path) -> None:
    async def story() -> None:
        made = folders(tmp_path)
        for node, fence in (("node-1", 2), ("node-1", 3), ("node-1", 4), ("node-11", 1)):
            (tmp_path / "nodes" / folder_name(node, fence, "x")).mkdir()
        await made.remove("node-1", fence=3)
        assert await made.names() == ["node-1.4.x", "node-11.1.x"]

    play(story)


def test_nothing_else_waits_while_a_removal_looks_through_the_roots_of_all_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, listing = folders(tmp_path), set[int]()
    root = tmp_path / "nodes" / NAME
    root.mkdir()
    for name in ("listdir", "scandir"):

        def listed(folder: Path | int, list_folder: Callable[..., object] = getattr(os, name)) -> object:
            listing.add(threading.get_ident())
            return list_folder(folder)

        monkeypatch.setattr(os, name, listed)
    play(lambda: made.remove("node-1", fence=3))
    assert not root.exists()
    assert listing
    assert threading.get_ident() not in listing, "the loop's own thread"


@pytest.mark.parametrize("what", ["a root", "a draft"])
def test_who_is_cancelled_waits_for_no_long_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A host keeps its lease as long as its work ends."""
    monkeypatch.setattr(draft_folders, "LETS_GO_S", 0.05)
    begun, may_end = threading.Event(), threading.Event()

    def remove_slowly(folder: Path, remove: Callable[[Path], None] = tenant_tree.remove_tree) -> None:
        begun.set()
        may_end.wait(60)
        remove(folder)

    for module in (root_folders, draft_folders):
        monkeypatch.setattr(module, "remove_tree", remove_slowly)
    made = folders(tmp_path)
    root = tmp_path / "nodes" / NAME
    root.mkdir()
    removing = tmp_path / ("removed" if what == "a root" else "drafts")

    async def draft() -> None:
        async with made._drafts.draft():
            begun.set()
            await asyncio.Event().wait()

    async def story() -> None:
        working = asyncio.create_task(made.remove("node-1", fence=3) if what == "a root" else draft())
        await asyncio.to_thread(begun.wait, 60)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert [*removing.iterdir()], "it is still being removed"
        may_end.set()
        while [*removing.iterdir()]:
            await asyncio.sleep(0.01)

    try:
        play(story)
    finally:
        may_end.set()
    assert root.exists() == (what == "a draft")


def test_what_of_a_root_stays_is_said_and_its_removal_not_claimed(tmp_path: Path) -> None:
    stubborn = tmp_path / "nodes" / NAME / "etc"
    made = folders(tmp_path)
    stubborn.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(stubborn)], check=True)
    try:

        async def story() -> None:
            await made.remove("node-1", fence=3)

        with pytest.raises(PermanentError, match="Device or resource busy"):
            play(story)
    finally:
        (mounted,) = tmp_path.rglob("etc")
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("why", [ENOSPC, EDQUOT])
@pytest.mark.parametrize("what", ["a root", "an image"])
def test_a_removal_without_room_for_a_name_says_so_and_is_done_once_there_is(
    what: str, why: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, sha256 = folders(tmp_path), "5" * 64
    kept = tmp_path / ("nodes" if what == "a root" else "images") / (NAME if what == "a root" else sha256)
    kept.mkdir()

    def full(path: Path, target: Path) -> Path:
        raise OSError(why, os.strerror(why), str(path), None, str(target))

    async def story() -> None:
        await (made.remove("node-1", fence=3) if what == "a root" else made.forget(sha256))

    with monkeypatch.context() as patched, pytest.raises(StorageFull, match=os.strerror(why)):
        patched.setattr(Path, "rename", full)
        play(story)
    assert kept.exists()
    play(story)
    assert [*tmp_path.glob("*/*")] == []

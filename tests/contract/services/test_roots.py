"""What `protocols.roots` promises: folders in memory, in the model, on a file system of this machine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from provisioner.core.errors import ImageInvalid, NotFound
from provisioner.protocols.roots import RootFolders, folder_name
from tests.contract.services.roots import Storage, storage

NAME = folder_name("node-1", 3, "a")
FILES = {"etc/hostname": "n1\n", "var/lib/seed/user-data": "text"}


@pytest.fixture(params=["fake", "model", pytest.param("mounted", marks=pytest.mark.wire)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return storage(request.param, tmp_path)


async def make(shared: Storage, host: RootFolders, name: str = NAME, *, digest: str = "") -> None:
    await host.make(name, shared.image, format="raw", digest=digest or shared.digest, files=FILES)


async def lies_there(shared: Storage, name: str) -> bool:
    """Raises AssertionError when it is neither so nor so."""
    host = shared.host()
    if name in await host.names():
        assert host.path(name).name == name
        assert {file: shared.read(name, file) for file in FILES} == FILES
        return True
    with pytest.raises(NotFound, match=name):
        host.path(name)
    return False


def test_a_folder_is_there_for_all_hosts_when_it_is_made_with_what_was_written_over_its_image(
    shared: Storage,
) -> None:
    async def story() -> None:
        assert not await lies_there(shared, NAME)
        await make(shared, shared.host())
        assert await lies_there(shared, NAME)
        path = shared.host().nfs_path(NAME)
        assert path.startswith("/")
        assert path.endswith(f"/{NAME}")

    shared.play(story())


def test_folders_made_at_once_of_one_image_are_all_whole(shared: Storage) -> None:
    names = [folder_name(f"node-{number}", 1, "a") for number in range(1, 5)]

    async def story() -> None:
        hosts = (shared.host(), shared.host())
        await asyncio.gather(*(make(shared, hosts[place % 2], name) for place, name in enumerate(names)))
        assert await shared.host().names() == names
        assert [await lies_there(shared, name) for name in names] == [True] * 4

    shared.play(story())


def test_what_was_made_under_a_newer_fence_or_for_another_node_outlives_a_removal(shared: Storage) -> None:
    gone = {folder_name("node-1", fence, attempt) for fence, attempt in ((2, "a"), (9, "a"), (10, "b"))}
    stays = {
        folder_name("node-1", 11, "a"),
        folder_name("node-1", 100, "a"),
        folder_name("node-10", 1, "a"),
        folder_name("node", 1, "a"),
    }

    async def story() -> None:
        one, other = shared.host(), shared.host()
        for name in sorted(gone | stays):
            await make(shared, one, name)
        await other.remove("node-1", fence=10)
        assert set(await one.names()) == stays
        assert not any([await lies_there(shared, name) for name in sorted(gone)])
        await one.remove("node-1", fence=10)  # again: there is nothing of it any more
        await one.remove("node-2", fence=10)
        assert set(await other.names()) == stays

    shared.play(story())


def test_a_folder_that_was_removed_is_made_anew_by_whoever_needs_it(shared: Storage) -> None:
    async def story() -> None:
        await make(shared, shared.host())
        await shared.host().remove("node-1", fence=3)
        await make(shared, shared.host())
        assert await lies_there(shared, NAME)

    shared.play(story())


def test_an_image_with_other_bytes_than_were_registered_makes_no_folder(shared: Storage) -> None:
    async def story() -> None:
        with pytest.raises(ImageInvalid, match=str(shared.image)):
            await make(shared, shared.host(), digest=f"sha512-tree:{'0' * 128}")
        assert not await lies_there(shared, NAME)
        await make(shared, shared.host())
        assert await lies_there(shared, NAME)

    shared.play(story())


def test_an_image_is_unpacked_for_all_hosts_and_outlives_the_roots_that_were_made_of_it(
    shared: Storage,
) -> None:
    async def story() -> None:
        one, other = shared.host(), shared.host()
        assert list(await one.unpacked()) == []
        await make(shared, one)
        await make(shared, other, folder_name("node-2", 1, "a"))
        await one.remove("node-1", fence=3)
        await one.remove("node-2", fence=3)
        for host in (one, other):
            assert list(await host.unpacked()) == [shared.image.name]

    shared.play(story())


def test_what_is_unpacked_of_an_image_that_makes_no_root_is_not_kept(shared: Storage) -> None:
    async def story() -> None:
        with pytest.raises(ImageInvalid):
            await make(shared, shared.host(), digest=f"sha512-tree:{'0' * 128}")
        assert list(await shared.host().unpacked()) == []
        assert not await shared.host().forget(shared.image.name)

    shared.play(story())


def test_an_image_that_is_forgotten_once_leaves_its_roots_and_is_unpacked_anew_for_the_next(
    shared: Storage,
) -> None:
    later = folder_name("node-2", 1, "a")

    async def story() -> None:
        one, other = shared.host(), shared.host()
        assert not await one.forget(shared.image.name)
        await make(shared, one)
        assert not await other.forget("0" * 64)
        assert await other.forget(shared.image.name)
        for host in (one, other):
            assert not await host.forget(shared.image.name)
            assert list(await host.unpacked()) == []
        assert await lies_there(shared, NAME)
        await make(shared, one, later)
        assert await lies_there(shared, later)
        assert list(await other.unpacked()) == [shared.image.name]

    shared.play(story())


def test_nothing_is_forgotten_of_an_image_while_a_root_is_made_from_it(shared: Storage) -> None:
    """The first unpacks it, the second copies what is unpacked."""

    async def story() -> None:
        one, other = shared.host(), shared.host()
        for name in (NAME, folder_name("node-2", 1, "a")):
            begun = asyncio.Event()

            async def making(name: str = name, begun: asyncio.Event = begun) -> None:
                begun.set()
                await make(shared, one, name)

            task = asyncio.create_task(making())
            await begun.wait()
            while not task.done():
                assert not await other.forget(shared.image.name)
                await asyncio.sleep(0.001)
            await task
            assert await lies_there(shared, name)
            assert list(await other.unpacked()) == [shared.image.name]

    shared.play(story())


@pytest.mark.parametrize("steps", [0, 1, 5, 20])
def test_a_making_that_is_cut_off_leaves_a_whole_folder_or_none(steps: int, shared: Storage) -> None:
    async def story() -> None:
        making = asyncio.create_task(make(shared, shared.host()))
        for _ in range(steps):
            await asyncio.sleep(0)
        making.cancel()
        with suppress(asyncio.CancelledError):
            await making
        await lies_there(shared, NAME)
        later = folder_name("node-1", 3, "b")
        await make(shared, shared.host(), later)
        assert await lies_there(shared, later)

    shared.play(story())

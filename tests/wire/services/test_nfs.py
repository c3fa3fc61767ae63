"""Roots by NFS: folders made of real images, served by a real nfs-ganesha, read by a client not ours."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from provisioner.core.errors import ImageInvalid, NotFound, PermanentError, StorageFull
from provisioner.core.image_digest import TreeDigest
from provisioner.protocols.children import Argument, ChildResult
from provisioner.protocols.netboot import Offer
from provisioner.protocols.roots import folder_name
from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import GaneshaService, nfs_path
from provisioner.services.root_folders import MountedRootFolders
from provisioner.services.system import SystemClock
from tests.wire.services import nfs4_client
from tests.wire.services.conftest import play
from tests.wire.services.segment import HOST, NODE, NODE_IF, NODE_MAC, STRANGER, Segment, children_of

pytestmark = pytest.mark.wire

SIZE_BYTES = 8 * 2**20
NAME = folder_name("node-1", 3, "a")


def file_system(folder: Path, *, data_bytes: int = 0, fstab: str = "") -> tuple[Path, str]:
    """An ext4 image of a tree with what a copy could lose, and its tree digest."""
    tree = folder / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("image\n")
    (tree / "etc/fstab").write_text(fstab)
    (tree / "bin").mkdir()
    (tree / "bin/su").write_text("#!/bin/sh\n")
    os.chown(tree / "bin/su", 1000, 2000)
    (tree / "bin/su").chmod(0o4755)
    (tree / "bin/link").symlink_to("/bin/su")
    os.link(tree / "bin/su", tree / "bin/same")
    os.mkfifo(tree / "pipe")
    os.setxattr(tree / "etc/hostname", "user.origin", b"image")
    (tree / "data").write_bytes(os.urandom(data_bytes))
    return image_of(tree, SIZE_BYTES + 2 * data_bytes)


def image_of(tree: Path, size_bytes: int = SIZE_BYTES) -> tuple[Path, str]:
    image = tree.parent / "root.raw"
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image)], check=True)
    return image, digest_of(image)


def digest_of(image: Path) -> str:
    digest = TreeDigest()
    digest.update(image.read_bytes())
    return digest.hexdigest()


def folders(root: Path) -> MountedRootFolders:
    return MountedRootFolders(root, SystemChildren(), nfs_path, "ch1")


def make(root: Path, image: Path, digest: str, *, format: str = "raw", name: str = NAME) -> Path:
    async def story() -> Path:
        made = folders(root)
        await made.make(name, image, format=format, digest=digest, files={"var/lib/seed/user-data": "text"})
        return made.path(name)

    return play(story)


def test_a_root_has_every_file_of_its_image_as_it_was_and_what_is_added(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    root = make(tmp_path / "roots", image, digest)
    su = (root / "bin/su").lstat()
    assert (su.st_uid, su.st_gid, su.st_mode & 0o7777) == (1000, 2000, 0o4755)
    assert (root / "bin/same").lstat().st_ino == su.st_ino
    assert str((root / "bin/link").readlink()) == "/bin/su"
    assert (root / "pipe").is_fifo()
    assert os.getxattr(root / "etc/hostname", "user.origin") == b"image"
    assert (root / "var/lib/seed/user-data").read_text() == "text"
    assert (root / "var/lib/seed/user-data").stat().st_mode & 0o777 == 0o600


def test_nothing_stays_mounted_and_no_draft_is_left(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    make(tmp_path / "roots", image, digest)
    assert list((tmp_path / "roots/drafts").iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert str(tmp_path) not in subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout


def test_a_qcow2_is_unpacked_too(tmp_path: Path) -> None:
    raw, digest = file_system(tmp_path)
    image = tmp_path / "root.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(image)], check=True)
    root = make(tmp_path / "roots", image, digest, format="qcow2")
    assert (root / "etc/hostname").read_text() == "image\n"


def test_two_roots_of_one_image_are_two(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    one = make(tmp_path / "roots", image, digest)
    two = make(tmp_path / "roots", image, digest, name=folder_name("node-2", 1, "a"))
    (one / "etc/hostname").write_text("one\n")
    assert (two / "etc/hostname").read_text() == "image\n"


MIB = 2**20

ON_XFS = 'mount -t xfs -o loop "$1" "$2" && shift && exec "$0" -m tests.wire.services.roots_on_xfs "$@"'


def test_roots_share_what_is_alike_where_the_file_system_can(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path, data_bytes=32 * MIB)
    disk, folder = tmp_path / "disk", tmp_path / "roots"
    folder.mkdir()
    with disk.open("wb") as file:
        file.truncate(512 * MIB)
    subprocess.run(["mkfs.xfs", "-q", str(disk)], check=True)
    # In a mount namespace that ends with what runs in it: nothing stays mounted.
    words = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        ON_XFS,
        sys.executable,
        str(disk),
        str(folder),
        str(image),
        digest,
    ]
    names = [folder_name(f"node-{number}", 1, "a") for number in (1, 2, 3)]
    told = subprocess.run([*words, *names], check=True, capture_output=True, text=True).stdout
    first, *others = (int(line) for line in told.split())
    assert 32 * MIB <= first < 40 * MIB, "the image is unpacked, once"
    assert len(others) == 2
    assert max(others) < 2 * MIB


KEPT = "5" * 64


class Disturbed(SystemChildren):
    """Somebody forgets the image before each program that `make` runs, where that can be done."""

    def __init__(self, forget: Callable[[str], Awaitable[bool]]) -> None:
        self._forget = forget
        self.forgotten: list[tuple[str, bool]] = []

    async def run(
        self,
        argv: Sequence[Argument],
        *,
        timeout_s: float,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> ChildResult:
        self.forgotten.append((str(argv[0]), await self._forget(KEPT)))
        return await super().run(argv, timeout_s=timeout_s, on_stdout=on_stdout)


def test_an_unpacked_image_is_forgotten_but_while_a_root_is_made_from_it(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    image = image.rename(tmp_path / KEPT)

    async def story() -> None:
        sweeping = folders(tmp_path / "roots")
        children = Disturbed(sweeping.forget)
        made = MountedRootFolders(tmp_path / "roots", children, nfs_path, "ch1")
        (tmp_path / "roots/images/lost+found").mkdir()

        async def make(node: str) -> None:
            name = folder_name(node, 1, "a")
            await made.make(name, image, format="raw", digest=digest, files={})
            assert (made.path(name) / "etc/hostname").read_text() == "image\n"

        await make("node-1")
        assert children.forgotten[-1] == ("cp", False)
        assert await sweeping.unpacked() == [KEPT]
        await make("node-2")
        assert children.forgotten[-1] == ("cp", False)
        assert not any(done for _, done in children.forgotten)
        assert await sweeping.forget(KEPT)
        assert await sweeping.unpacked() == []
        assert not await sweeping.forget(KEPT)
        await asyncio.gather(make("node-3"), make("node-4"), sweeping.forget(KEPT), sweeping.forget(KEPT))
        assert list((tmp_path / "roots/drafts").iterdir()) == []

    play(story)


def test_a_root_is_made_of_an_image_that_is_forgotten_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, digest = file_system(tmp_path)
    image = image.rename(tmp_path / KEPT)

    async def story() -> None:
        made = folders(tmp_path / "roots")
        await made.make(folder_name("node-1", 1, "a"), image, format="raw", digest=digest, files={})
        flock, descriptors = fcntl.flock, list[int]()

        def forget_before(descriptor: int, how: int) -> None:
            if how & fcntl.LOCK_SH and not descriptors:
                descriptors.append(descriptor)
                (tmp_path / "roots/images" / KEPT).rename(tmp_path / "gone")
            flock(descriptor, how)

        monkeypatch.setattr(fcntl, "flock", forget_before)
        await made.make(NAME, image, format="raw", digest=digest, files={})
        assert descriptors
        assert await made.unpacked() == [KEPT]
        assert (made.path(NAME) / "etc/hostname").read_text() == "image\n"

    play(story)


def test_bytes_that_are_not_those_registered_are_refused(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path)
    with image.open("r+b") as file:
        file.seek(SIZE_BYTES // 2)
        file.write(b"rot")
    with pytest.raises(ImageInvalid, match=r"its content is sha512-tree:.*was registered"):
        make(tmp_path / "roots", image, digest)
    assert [*(tmp_path / "roots").rglob("*/*")] == []


def test_what_the_image_mounts_from_its_own_disk_is_forgotten(tmp_path: Path) -> None:
    fstab = "UUID=1 / ext4 rw 0 1\n/dev/sda2 none swap sw 0 0\n# a comment\ntmpfs /tmp tmpfs rw 0 0\n"
    image, digest = file_system(tmp_path, fstab=fstab)
    root = make(tmp_path / "roots", image, digest)
    assert (root / "etc/fstab").read_text() == "# a comment\ntmpfs /tmp tmpfs rw 0 0\n"


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


def test_what_is_no_file_system_is_said_to_be_none(tmp_path: Path) -> None:
    image = tmp_path / "noise.raw"
    image.write_bytes(b"noise" * 2**18 + bytes(2**18 * 3))
    with pytest.raises(ImageInvalid, match="none of the file systems"):
        make(tmp_path / "roots", image, digest_of(image))


def test_a_link_in_an_image_leads_nobody_out_of_its_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "var").symlink_to(outside)
    with pytest.raises(ImageInvalid, match="a link or a file of the image lies in the way"):
        make(tmp_path / "roots", *image_of(tree))
    assert list(outside.iterdir()) == []


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    image, digest = file_system(tmp_path, data_bytes=2 * 2**20)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(StorageFull, match="no space left"):
            make(small / "roots", image, digest)
        assert [*(small / "roots").rglob("*/*")] == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


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
        folders(tmp_path)
        assert {path.name for path in drafts.iterdir()} == {"ch1@living", "ch11@at-work-on-shared-storage"}


def test_only_folders_of_older_owners_are_removed(tmp_path: Path) -> None:
    async def story() -> None:
        made = folders(tmp_path)
        for node, fence in (("node-1", 2), ("node-1", 3), ("node-1", 4), ("node-11", 1)):
            (tmp_path / "nodes" / folder_name(node, fence, "x")).mkdir()
        await made.remove("node-1", fence=3)
        assert await made.names() == ["node-1.4.x", "node-11.1.x"]

    play(story)


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
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["drafts", "images", "nodes"]


def test_a_start_comes_past_deep_folders_in_a_draft_of_the_dead(tmp_path: Path, swept: Path) -> None:
    dead = tmp_path / "drafts/ch1@dead"
    dead.mkdir(parents=True)
    a_deep_tree(dead)
    folders(tmp_path)
    assert list((tmp_path / "drafts").iterdir()) == []


def test_a_root_that_was_made_elsewhere_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="storage that all compute hosts share"):
        folders(tmp_path).path(NAME)


def offer(folder: Path | None, node: str = "node-1", address: str = NODE) -> Offer:
    return Offer(node_id=node, node_name=node, macs=(NODE_MAC,), addresses=(address,), nfs_root=folder)


def root_in(folder: Path, name: str) -> Path:
    root = folder / name
    root.mkdir()
    (root / "secret").write_text(f"of {name}\n")
    (root / "secret").chmod(0o600)
    return root


@asynccontextmanager
async def ganesha(folder: Path, *offers: Offer) -> AsyncIterator[GaneshaService]:
    async with GaneshaService(IPv4Address(HOST), folder, SystemChildren(), SystemClock()) as service:
        for one in offers:
            await service.offer(one)
        yield service


async def at_node(network: Segment, *words: str) -> str:
    """What a client of NFS at the node's end prints, or the last it complains."""

    def run() -> str:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        return done.stdout if done.returncode == 0 else "failed: " + done.stderr

    return await network.run_at_node(run)


async def read(network: Segment, root: Path) -> str:
    return await at_node(network, "nfs-cat", f"nfs://{HOST}{nfs_path(root)}/secret?version=4")


def test_a_node_reads_and_writes_its_own_root(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        root = root_in(tmp_path, "r1")
        async with ganesha(tmp_path / "g", offer(root)):
            assert await read(network, root) == "of r1\n", "its owner's files too: no identity is squashed"
            new = f"nfs://{HOST}{nfs_path(root)}/new?version=4"
            source = tmp_path / "source"
            source.write_text("written")
            assert "failed" not in await at_node(network, "nfs-cp", str(source), new)
            assert (root / "new").read_text() == "written"

    play(story)


def test_another_address_gets_nothing(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        root = root_in(tmp_path, "r1")
        other = root_in(tmp_path, "r2")
        async with ganesha(tmp_path / "g", offer(root), offer(other, "node-2", STRANGER)):
            assert "failed" in await read(network, other)
            await at_node(network, "ip", "address", "flush", "dev", NODE_IF)
            await at_node(network, "ip", "address", "add", f"{STRANGER}/24", "dev", NODE_IF)
            assert "failed" in await read(network, root)
            assert await read(network, other) == "of r2\n"

    play(story)


def test_an_offer_is_in_force_when_it_returns_and_gone_when_it_is_withdrawn(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, two = root_in(tmp_path, "r1"), root_in(tmp_path, "r2")
        async with ganesha(tmp_path / "g") as service:
            assert "failed" in await read(network, one)
            await service.offer(offer(one))
            assert await read(network, one) == "of r1\n"
            await service.offer(offer(two))
            assert await read(network, two) == "of r2\n"
            assert "failed" in await read(network, one), "a new root takes the place of the old one"
            await service.offer(offer(None))
            assert "failed" in await read(network, two)
            await service.withdraw("node-1")

    play(story)


def test_many_at_once_are_read_together(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        roots = [root_in(tmp_path, f"r{number}") for number in range(30)]
        async with ganesha(tmp_path / "g") as service:
            offers = (offer(root, f"node-{root.name}") for root in roots)
            await asyncio.gather(*map(service.offer, offers))
            assert [await read(network, root) for root in roots] == [f"of {root.name}\n" for root in roots]

    play(story)


def test_a_server_that_dies_is_started_again(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        root = root_in(tmp_path, "r1")
        async with ganesha(tmp_path / "g", offer(root)):
            (pid,) = children_of(os.getpid())
            os.kill(pid, signal.SIGKILL)
            while await read(network, root) != "of r1\n":
                await asyncio.sleep(0.05)

    play(story)


async def held(network: Segment, root: Path) -> bytes:
    """The handle of a file in a root, as a node has it that has opened it."""
    return await network.run_at_node(lambda: nfs4_client.handle_of(HOST, root.name, "secret"))


async def read_held(network: Segment, handle: bytes) -> str:
    status, data = await network.run_at_node(lambda: nfs4_client.read(HOST, handle))
    return data.decode() if status == nfs4_client.OK else f"status {status}"


def test_what_a_node_has_opened_stays_its_own_over_a_restart_in_whatever_order(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, two, new = (root_in(tmp_path, f"r{number}") for number in (1, 2, 3))
        both = offer(one), offer(two, "node-2", STRANGER)
        async with ganesha(tmp_path / "g", *both):
            handle = await held(network, one)
        async with ganesha(tmp_path / "g", offer(new, "node-3", STRANGER), *reversed(both)):
            assert await read_held(network, handle) == "of r1\n"

    play(story)


def test_what_a_node_has_opened_stays_its_own_when_its_root_is_offered_again(
    network: Segment, tmp_path: Path
) -> None:
    async def story() -> None:
        one, two = root_in(tmp_path, "r1"), root_in(tmp_path, "r2")
        async with ganesha(tmp_path / "g", offer(one), offer(two, "node-2")) as service:
            handle = await held(network, one)
            await asyncio.gather(service.withdraw("node-1"), service.withdraw("node-2"))
            assert "status" in await read_held(network, handle)
            await service.offer(offer(two, "node-2"))
            await service.offer(offer(one))
            assert await read_held(network, handle) == "of r1\n"
            # The port that it boots from is another one, and it stands where it stood.
            await service.offer(replace(offer(one), addresses=(STRANGER,)))
            assert await read_held(network, handle) == f"status {nfs4_client.ACCESS}"
            await service.offer(replace(offer(one), addresses=(STRANGER, NODE)))
            assert await read_held(network, handle) == "of r1\n"

    play(story)


def test_no_server_outlives_its_owner(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        async with ganesha(tmp_path / "g"):
            assert len(children_of(os.getpid())) == 1
        assert children_of(os.getpid()) == []

    play(story)


def test_a_second_server_at_the_address_is_refused_by_name(network: Segment, tmp_path: Path) -> None:
    async def story() -> None:
        async with ganesha(tmp_path / "g"):
            with pytest.raises(PermanentError, match=r"start ganesha.nfsd.*nfs.server"):
                async with ganesha(tmp_path / "h"):
                    pass

    play(story)

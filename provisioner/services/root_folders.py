"""Root directories of nodes that have their root by NFS: unpacked once for each image, then copied."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from errno import EEXIST, ENOENT, ENOTEMPTY
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from provisioner.core.errors import (
    ImageInvalid,
    InvalidInput,
    NotFound,
    PermanentError,
    ProvisionerError,
    StorageFull,
    TransientError,
)
from provisioner.core.readable import shortened
from provisioner.protocols.children import Children, ChildResult, ChildTimedOut
from provisioner.protocols.roots import made_under
from provisioner.services.draft import Draft, in_thread
from provisioner.services.draft_folders import DraftFolders, hold
from provisioner.services.durable import sync_folder
from provisioner.services.full_disk import said_full, storage_full_told
from provisioner.services.qemu_img import QemuImg
from provisioner.services.sparse_digest import SparseDigest
from provisioner.services.tenant_tree import forget_disks, remove_tree, write_all

log = structlog.get_logger(__name__)

T = TypeVar("T")

TIMEOUT_S = 1800.0  # for each of: expanding an image, unpacking it, copying it

MOST_LOOKS = 1000
"""At a folder that others remove as well."""

_ROOM = "Make room on its file system"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# In a mount namespace of its own, which ends with it: nothing stays mounted, whoever dies. The kernel reads a
# file system that users registered, so nothing in it is run or opened as a device here. An ext's superblock
# may say that the kernel panics at damage, unless another `errors=` is said (ext4(5)): whatever blkid names,
# none is mounted as ext without it. An xfs or btrfs has no such word on its disk. An xfs is mounted beside
# another one of its UUID, which this host may have of its own, only where that is said.
_UNPACK = (
    "types=ext4,ext3,ext2 also=,errors=remount-ro; "
    'case "$(blkid --probe --output value --match-tag TYPE "$1")" in '
    "xfs) types=xfs,btrfs also=,nouuid;; btrfs) types=btrfs also=;; esac; "
    'mount -t "$types" -o "loop,nosuid,nodev,noexec$also" "$1" "$2" && '
    'exec cp --archive --no-target-directory "$2" "$3"'
)

_DAMAGED = ("Bad message", "Structure needs cleaning", "File name too long", "Input/output error")
"""How complaints end of what can't be read in a file system whose bytes are those registered."""

_SAME_BTRFS = "system call failed: File exists"
"""What mount says of a btrfs when one of its fsid is mounted, and the kernel is older than 6.7."""


class MountedRootFolders:
    """`protocols.roots.RootFolders` on a file system of this host, or on one that hosts share.

    Below `root`: `images/<sha256>` are file systems as registered; `nodes/<name>` those of nodes, copied
    from them, by reference where the file system can share blocks (xfs, btrfs). `drafts` are nobody's until
    they are whole, and `removed/<name>` is what is being removed: both tell whose they are, so that another
    host finds them when theirs is lost. Who copies a file system as registered has locked its folder.
    """

    def __init__(self, root: Path, children: Children, nfs_path: Callable[[Path], str], host: str) -> None:
        """nfs_path: what the NFS server calls a folder. host: our name among those that share `root`: on many
        such storages no lock of theirs is seen here. Makes the folders."""
        self._images = root / "images"
        self.nodes = root / "nodes"
        self._removed = root / "removed"
        self._drafts = DraftFolders(root / "drafts", host)
        self._children = children
        self._nfs_path = nfs_path
        self._qemu_img = QemuImg(children)
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        for folder in (self._images, self.nodes, self._removed, root / "drafts"):
            # Its export is the only way to a root: other users of this host have none.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, name: str) -> Path:
        folder = self.nodes / _checked(name)
        if not folder.is_dir():
            raise NotFound(
                "serve a root by NFS",
                answer=f"{folder} isn't there",
                advice="Let nfs.folder be on storage that all compute hosts share, or deploy the node again",
            )
        return folder

    def nfs_path(self, name: str) -> str:
        return self._nfs_path(self.nodes / _checked(name))

    async def make(
        self, name: str, image: Path, *, format: str, digest: str, files: Mapping[str, str]
    ) -> None:
        made = self.nodes / _checked(name)
        async with (
            self._base(image, format, digest) as base,
            self._drafts.draft(name) as draft,
        ):
            root = draft / "root"
            copy = ("cp", "--archive", "--reflink=auto", "--no-target-directory", str(base), str(root))
            await self._run("copy the root file system", copy)
            await in_thread(lambda: write_all(root, files))
            await in_thread(lambda: forget_disks(root))
            await self._keep(root, made)

    async def remove(self, node_id: str, *, fence: int) -> None:
        for name in await in_thread(lambda: _made_by(_names(self.nodes), node_id, fence)):
            # Gone from its place at once, whole: half a root helps nobody.
            room = storage_full_told("remove a root directory", self._removed, _ROOM)
            with contextlib.suppress(FileNotFoundError), room:
                (self.nodes / name).rename(self._removed / name)
        for folder in await in_thread(lambda: self._left_of(node_id, fence)):
            await self._drafts.seen_through(in_thread(partial(_remove, folder)))

    def _left_of(self, node_id: str, fence: int) -> list[Path]:
        drafts = self._drafts.becoming()
        removed = _made_by(_names(self._removed), node_id, fence)
        return [
            *(self._removed / name for name in removed),
            *(drafts[name] for name in _made_by(drafts, node_id, fence)),
        ]

    async def names(self) -> Sequence[str]:
        return await in_thread(lambda: sorted(_names(self.nodes)))

    async def unfinished(self) -> Sequence[str]:
        return await in_thread(lambda: sorted({*_names(self._removed), *self._drafts.becoming()}))

    async def remove_abandoned(self) -> None:
        await in_thread(self._drafts.remove_abandoned)

    async def unpacked(self) -> Sequence[str]:
        found = await in_thread(lambda: sorted(_names(self._images)))
        return [name for name in found if _SHA256.fullmatch(name)]

    async def forget(self, sha256: str) -> bool:
        return await self._drafts.seen_through(self._forget(_checked(sha256)))

    async def _forget(self, sha256: str) -> bool:
        base = self._images / sha256
        async with self._drafts.draft() as draft:
            held = hold(base, fcntl.LOCK_EX)
            if held is None:
                return False
            try:
                with storage_full_told("remove an unpacked image", draft, _ROOM):
                    base.rename(draft / "root")  # from now on it is nobody's to copy
            finally:
                os.close(held)
            await in_thread(lambda: _remove(draft / "root"))
        return True

    @contextlib.asynccontextmanager
    async def _base(self, image: Path, format: str, digest: str) -> AsyncIterator[Path]:
        """The folder with what is in the image's file system. No process removes it while this is entered."""
        base = self._images / image.name
        with contextlib.ExitStack() as held:
            while True:
                async with self._turns[image.name]:  # nodes that want the same image wait for one unpacking
                    if not base.exists():
                        await self._unpack(image, format, digest, base, held)
                if (lock := hold(base, fcntl.LOCK_SH)) is not None:
                    held.callback(os.close, lock)
                    break
                await asyncio.sleep(0)  # somebody forgets it just now
            yield base

    async def _unpack(
        self, image: Path, format: str, digest: str, base: Path, held: contextlib.ExitStack
    ) -> None:
        """held: gets the lock of what is unpacked, so that it isn't forgotten from when it has its name."""
        async with self._drafts.draft() as draft:
            mount, root = draft / "mount", draft / "root"
            with storage_full_told("unpack the image", draft, _ROOM):
                mount.mkdir()
            async with Draft(draft) as raw:
                await self._expand(image, format, digest, raw)
                unpack = ("unshare", "--mount", "sh", "-c", _UNPACK, "sh")
                argv = (*unpack, str(raw.path), str(mount), str(root))
                await self._run("unpack the image", argv, mount)
            if (lock := hold(root, fcntl.LOCK_SH)) is not None:
                held.callback(os.close, lock)
            try:
                await self._keep(root, base)
            except OSError as error:
                # Another host that shares the folder was quicker: what it made is the same.
                if error.errno not in (EEXIST, ENOTEMPTY):
                    raise

    async def _expand(self, image: Path, format: str, digest: str, raw: Draft) -> None:
        """The image as a disk, its bytes proven."""
        raw.resize(await self._qemu_img.virtual_size_bytes(image, format))
        await self._qemu_img.to_raw(image, format, raw.path, TIMEOUT_S)
        found = SparseDigest(raw.path, raw.path.stat().st_size)
        while await in_thread(found.advance):
            pass
        if found.hexdigest() != digest:
            raise ImageInvalid(
                "unpack the image",
                device=f"file {image}",
                answer=f"its content is {found.hexdigest()}, and {digest} was registered",
                advice="The image store's disk is damaged: delete the image and register it again",
            )

    async def _keep(self, root: Path, name: Path) -> None:
        """Gives it its name, by which it is taken for whole: all of it is on the disk before, so that a power
        cut leaves nothing half written by that name; the name is when this returns. Raises OSError,
        StorageFull."""
        await self._run("write the root file system to the disk", ("sync", "--file-system", str(root)))
        with storage_full_told("give a root directory its name", name.parent, _ROOM):
            await in_thread(lambda: root.rename(name))
            await in_thread(lambda: sync_folder(name.parent))

    async def _run(self, tried: str, argv: Sequence[str], mount: Path | None = None) -> None:
        """mount: where an image's file system is, which is to blame for what can't be read there."""
        try:
            result = await self._children.run(argv, timeout_s=TIMEOUT_S)
        except ChildTimedOut as error:
            raise PermanentError(
                tried,
                device=f"folder {self.nodes.parent}",
                answer=f"it was not done after {TIMEOUT_S:.0f} s",
                advice="Look at its disk: whether it fails, and what else keeps it busy",
            ) from error
        result.check_not_killed(tried, device=f"folder {self.nodes.parent}")
        if result.code:
            raise self._fault(tried, result, mount)

    def _fault(self, tried: str, result: ChildResult, mount: Path | None) -> ProvisionerError:
        complaints = result.stderr
        if full := said_full(complaints):
            return StorageFull(
                tried,
                device=f"folder {self.nodes.parent}",
                answer=full,
                advice="Delete instances whose root is there, or make room",
            )
        if _SAME_BTRFS in complaints:
            return TransientError(
                tried,
                device=f"folder {self.nodes.parent}",
                answer="a btrfs with the same UUID is mounted on this host",
                advice="Have Linux 6.7 or later, or give the image a UUID of its own (btrfstune -u)",
            )
        if "wrong fs type" in complaints:
            return ImageInvalid(
                tried,
                answer="it is none of the file systems ext4, ext3, ext2, xfs, btrfs",
                advice="Register the image of a root file system, or of a disk whose root is one of these",
            )
        if mount is not None and (damage := _damage(complaints, mount)):
            return ImageInvalid(
                tried,
                answer=damage,
                advice="Check its file system (fsck), and that no path in it has over 4,000 letters; then "
                "register it again",
            )
        return PermanentError(
            tried,
            device=f"folder {self.nodes.parent}",
            answer=result.last_words(),
            advice="Look at its file system, and at the kernel's messages of that time",
        )


def _damage(complaints: str, mount: Path) -> str:
    """What couldn't be read of the file system there; empty: no complaint is of that alone. A file's name
    forges none: cp escapes what would begin a line."""
    at = re.escape(str(mount))
    of_it = re.compile(rf"mount: {at}: |cp: (?!error copying)[a-z ]+'{at}[/']")  # copying has two ends
    for line in complaints.splitlines():
        reason = line.rstrip(".")
        if of_it.match(line) and (reason.endswith(_DAMAGED) or "can't read superblock" in reason):
            return shortened(line.replace(str(mount), ""))
    return ""


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "name a root directory", field="name", answer=f"{name[:80]!r} can't be a folder's name"
        )
    return name


def _names(folder: Path) -> list[str]:
    """No Path for each: there may be ten thousands."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _made_by(names: Iterable[str], node_id: str, fence: int) -> list[str]:
    """A node's folders that were made under this fence, or an older one, in order."""
    found = []
    for name in names:
        if name.startswith(node_id):  # quick: they lie among those of all nodes
            made = made_under(name, node_id)
            if made is not None and made <= fence:
                found.append(name)
    return sorted(found)


def _remove(folder: Path) -> None:
    """To the last file: they are a tenant's. Another host that was told to may remove it as well."""
    try:
        for _ in range(MOST_LOOKS):
            try:
                return remove_tree(folder)
            except OSError as error:
                if error.errno == ENOENT and not folder.exists():
                    return None
                if error.errno not in (ENOENT, ENOTEMPTY):
                    raise
        remove_tree(folder)
    except OSError as error:
        raise PermanentError(
            "remove a root directory",
            device=f"folder {folder}",
            answer=f"{error.filename}: {error.strerror}",
            advice="Remove it by hand, then have the node cleaned again",
        ) from error

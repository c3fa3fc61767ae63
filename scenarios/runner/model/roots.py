"""Roots of nodes by NFS: storage that all compute hosts of a story share, and what a machine finds there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from provisioner.compute.steps.nfs import SEED
from provisioner.core.errors import ImageInvalid, NotFound
from provisioner.protocols.roots import made_under
from scenarios.runner.model.contents import MIB, Content

ROOTS = Path("/roots")
"""Where they seem to lie. Nothing ever opens these paths."""

COPY_BYTES_PER_S = 200 * MIB

REMOVE_S = 2.0
"""Until some ten thousand files are gone. The folder left its place before, whole."""


@dataclass(frozen=True, slots=True)
class Root:
    """image, arch: whose files are in it. files: what was written over them."""

    image: str
    files: Mapping[str, str]
    arch: str = "x86_64"

    @property
    def vendor_data(self) -> str:
        return self.files.get(f"{SEED}/vendor-data", "")


class SharedRoots:
    """made: by the folder's name. removed: those that aren't gone yet, though out of their place. unpacked:
    images that they are copies of. held: how many are made just now of an image."""

    def __init__(self) -> None:
        self.made: dict[str, Root] = {}
        self.removed: set[str] = set()
        self.unpacked: set[str] = set()
        self.held: Counter[str] = Counter()

    @contextmanager
    def holding(self, sha256: str) -> Iterator[None]:
        """A root is made from the image: also who dies at it lets go, as the kernel does for its locks."""
        self.held[sha256] += 1
        try:
            yield
        finally:
            self.held[sha256] -= 1

    def of_node(self, node_id: str) -> list[Root]:
        """All that lie there, the last made last."""
        return [root for name, root in self.made.items() if made_under(name, node_id) is not None]


class ModelRoots:
    """`provisioner.protocols.roots.RootFolders` of one compute host's process."""

    def __init__(self, shared: SharedRoots, content_at: Callable[[Path], Content | None]) -> None:
        self._shared = shared
        self._content_at = content_at

    async def make(
        self, name: str, image: Path, *, format: str, digest: str, files: Mapping[str, str]
    ) -> None:
        content = self._content_at(image)
        if content is None or content.tree_digest != digest:
            raise ImageInvalid("unpack the image", device=f"file {image}", answer="it holds something else")
        with self._shared.holding(image.name):
            # Whole, or not there: as a folder that is renamed into its place.
            await asyncio.sleep(content.virtual_size_bytes / COPY_BYTES_PER_S)
            self._shared.unpacked.add(image.name)
            self._shared.made[name] = Root(content.name, dict(files), content.arch)

    async def remove(self, node_id: str, *, fence: int) -> None:
        shared = self._shared
        for name in (*shared.made, *sorted(shared.removed)):
            made = made_under(name, node_id)
            if made is not None and made <= fence and (name in shared.made or name in shared.removed):
                shared.made.pop(name, None)
                shared.removed.add(name)
                await asyncio.sleep(REMOVE_S)
                shared.removed.discard(name)

    async def names(self) -> Sequence[str]:
        return sorted(self._shared.made)

    async def unfinished(self) -> Sequence[str]:
        return sorted(self._shared.removed)

    async def remove_abandoned(self) -> None:
        """There is none: who dies at a making leaves nothing here."""

    async def unpacked(self) -> Sequence[str]:
        return sorted(self._shared.unpacked)

    async def forget(self, sha256: str) -> bool:
        if sha256 not in self._shared.unpacked or self._shared.held[sha256]:
            return False
        self._shared.unpacked.remove(sha256)
        return True

    def path(self, name: str) -> Path:
        if name not in self._shared.made:
            raise NotFound("serve a root by NFS", answer=f"{ROOTS / name} isn't there")
        return ROOTS / name

    def nfs_path(self, name: str) -> str:
        return f"/{name}"


@dataclass(frozen=True, slots=True)
class NfsRoot:
    """What a kernel's words say of its root: `nfsroot=SERVER:PATH,OPTIONS`."""

    server: str
    name: str

    @property
    def source(self) -> str:
        return f"{self.server}:/{self.name}"

    @classmethod
    def named_in(cls, command_line: str) -> NfsRoot | None:
        for word in command_line.split():
            if word.startswith("nfsroot="):
                return cls.at(word.removeprefix("nfsroot="))
        return None

    @classmethod
    def at(cls, source: str) -> NfsRoot:
        """source: SERVER:PATH, and options after a comma."""
        server, _, path = source.partition(",")[0].partition(":")
        return cls(server, PurePosixPath(path).name)

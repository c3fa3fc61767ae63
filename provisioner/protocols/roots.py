from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from provisioner.core.errors import PermanentError


class RootFolders(Protocol):
    """Where the roots of nodes lie that have theirs by NFS. Each attempt has a folder of its own, named by
    `folder_name`: what an owner from before still does to an older one harms nobody."""

    async def make(
        self, name: str, image: Path, *, format: str, digest: str, files: Mapping[str, str]
    ) -> None:
        """Fills the new folder `name` with what is in the file system of an image.

        image:  the file, `format` raw or qcow2; `digest` is its tree digest, checked on the way
        files:  path in the root → text, written over whatever is there; mode 0644 below etc, else 0600

        Nothing is there when it fails. Raises ImageInvalid (not the bytes that were registered, or no file
        system that this host can read), StorageFull, PermanentError.
        """
        ...

    async def remove(self, node_id: str, *, fence: int) -> None:
        """Removes the node's folders that were made under this fence, or an older one. Idempotent. Raises
        PermanentError when something of them stays, StorageFull when that is for want of room."""
        ...

    async def names(self) -> Sequence[str]:
        """Of all folders that there are, whole ones."""
        ...

    async def unfinished(self) -> Sequence[str]:
        """Of all folders that somebody was making or removing, whoever that was: `remove` removes what is
        left of them as well."""
        ...

    async def remove_abandoned(self) -> None:
        """Removes what nobody works on any more, and no node's name says whose it is. May leave some."""
        ...

    async def unpacked(self) -> Sequence[str]:
        """sha256 of the images that are kept unpacked: roots are copies of them."""
        ...

    async def forget(self, sha256: str) -> bool:
        """Removes what is unpacked of an image. False when there is nothing, or a root is being made from it;
        a root that is made later unpacks it anew. Idempotent. Raises PermanentError when something
        stays, StorageFull."""
        ...

    def path(self, name: str) -> Path:
        """The folder of this name. Raises NotFound when it isn't there: it was made on storage that this host
        doesn't share."""
        ...

    def nfs_path(self, name: str) -> str:
        """What its server calls it, as a node names it when it mounts its root."""
        ...


def folder_name(node_id: str, fence: int, attempt: str) -> str:
    return f"{node_id}.{fence}.{attempt}"


class Made(NamedTuple):
    """For which node a folder was made, and under which fence."""

    node_id: str
    fence: int

    @classmethod
    def told_by(cls, name: str) -> Made | None:
        """None when it is nobody's."""
        node_id, _, rest = name.partition(".")
        fence = rest.partition(".")[0]
        return cls(node_id, int(fence)) if fence.isdecimal() else None


def made_under(name: str, node_id: str) -> int | None:
    """The fence under which a folder was made, or None when it is not this node's."""
    made = Made.told_by(name)
    return made.fence if made is not None and made.node_id == node_id else None


class NoRootFolders:
    """Of a host that serves no NFS."""

    async def make(
        self, name: str, image: Path, *, format: str, digest: str, files: Mapping[str, str]
    ) -> None:
        raise _off()

    async def remove(self, node_id: str, *, fence: int) -> None:
        raise _off()

    async def names(self) -> Sequence[str]:
        return ()

    async def unfinished(self) -> Sequence[str]:
        return ()

    async def remove_abandoned(self) -> None:
        pass

    async def unpacked(self) -> Sequence[str]:
        return ()

    async def forget(self, sha256: str) -> bool:
        raise _off()

    def path(self, name: str) -> Path:
        raise _off()

    def nfs_path(self, name: str) -> str:
        raise _off()


def _off() -> PermanentError:
    return PermanentError(
        "serve a root by NFS",
        answer="this host serves no NFS",
        advice="Set nfs.server in its configuration, or enrol the node with `deploy: iscsi`",
    )

"""What each implementation of `protocols.roots` is tried on: an image, hosts, and a look into a folder."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from provisioner.drivers.fake import FakeRoots
from provisioner.drivers.fake_agent import raw_content
from provisioner.protocols.roots import RootFolders
from provisioner.services.children import SystemChildren
from provisioner.services.ganesha import nfs_path
from provisioner.services.root_folders import MountedRootFolders
from scenarios.runner.model.contents import LIBRARY, ImageServer
from scenarios.runner.model.roots import ModelRoots, SharedRoots
from scenarios.runner.virtual_time import run
from tests.wire.services.conftest import play
from tests.wire.services.root_images import file_system

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Storage:
    """image, digest: a file system, in a file that its sha256 names, and the tree digest of its bytes.
    host: one more that shares the storage. read: the text of a file in the folder of a name. play: ends what
    it is given."""

    image: Path
    digest: str
    host: Callable[[], RootFolders]
    read: Callable[[str, str], str]
    play: Callable[[Coroutine[Any, Any, None]], None]


def kept(image: Path) -> Path:
    return image.rename(image.with_name(hashlib.sha256(image.read_bytes()).hexdigest()))


def in_memory(folder: Path) -> Storage:
    image = folder / "root.raw"
    image.write_bytes(b"a root")
    image = kept(image)
    roots = FakeRoots(raw_content)
    return Storage(
        image, raw_content(image), lambda: roots, lambda name, file: roots.folders[name][file], asyncio.run
    )


def in_the_model(folder: Path) -> Storage:
    images, shared = ImageServer(lambda fault, image: None), SharedRoots()
    tiny = LIBRARY["tiny"]
    return Storage(
        images.path(tiny.sha256),
        tiny.tree_digest,
        lambda: ModelRoots(shared, images.content_at),
        lambda name, file: shared.made[name].files[file],
        lambda story: run(story, 1),
    )


def on_a_file_system(folder: Path) -> Storage:
    image, digest = file_system(folder)
    roots = folder / "roots"
    return Storage(
        kept(image),
        digest,
        lambda: MountedRootFolders(roots, SystemChildren(), nfs_path, "ch1"),
        lambda name, file: (roots / "nodes" / name / file).read_text(),
        lambda story: play(lambda: story),
    )


def storage(kind: str, folder: Path) -> Storage:
    return {"fake": in_memory, "model": in_the_model, "mounted": on_a_file_system}[kind](folder)

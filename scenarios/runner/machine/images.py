"""The images of a story on real machines: their files, and how the provisioner is told of them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fixtures.images.cache import default_directory
from fixtures.images.images import IMAGES, Image

PORT = 8079
"""Of the image server, which listens on the compute host alone."""


class StoryImages:
    """folder: where what is made of them is kept as long as the story goes on. They are built where the cache
    has none, which takes minutes."""

    def __init__(self, names: Iterable[str], folder: Path) -> None:
        self._images: dict[str, Image] = {name: IMAGES[name](default_directory()) for name in names}
        self._folder = folder

    def orders(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Bodies of POST /v1/images, of what boots it first."""
        files = self._files(name)
        kinds = {part: part.rpartition("-")[2] for part in files if part != name}
        arch = self._images[name].arch
        orders: list[Mapping[str, Any]] = [
            _order(part, kind, files[part]) | {"arch": arch} for part, kind in kinds.items()
        ]
        boot = {f"{kind}_id": part for part, kind in kinds.items()}
        own = _order(name, "root" if kinds else "disk", files[name])
        return [*orders, own | boot | {"format": self._images[name].image_format, "arch": arch}]

    def files(self) -> dict[str, str]:
        """All that is to be served, by its name."""
        return {part: str(path) for name in self._images for part, path in self._files(name).items()}

    def is_whole_disk(self, name: str) -> bool:
        return self._images[name].kernel is None

    def raw(self, name: str) -> Path:
        """As it lies on a disk."""
        raw = self._folder / f"{name}.raw"
        if not raw.exists():
            argv = ["qemu-img", "convert", "-O", "raw", self._images[name].image, str(raw)]
            subprocess.run(argv, check=True, capture_output=True)
        return raw

    def _files(self, name: str) -> dict[str, Path]:
        image = self._images[name]
        parts = {"kernel": image.kernel, "ramdisk": image.ramdisk}
        boots = {f"{name}-{kind}": Path(path) for kind, path in parts.items() if path is not None}
        return {**boots, name: Path(image.image)}


def _order(name: str, kind: str, file: Path) -> dict[str, Any]:
    with file.open("rb") as reading:
        sha256 = hashlib.file_digest(reading, "sha256").hexdigest()
    return {"name": name, "kind": kind, "sha256": sha256, "url": f"http://127.0.0.1:{PORT}/{name}"}

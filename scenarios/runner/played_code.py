"""Which code plays stories, and is played by them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("bmsim", "provisioner", "scenarios")


@cache
def code_sha256(root: Path = ROOT) -> str:
    """Of all that plays and is played: the lab's code and the provisioner's, with the scripts that machines
    are given to boot by."""
    found = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(_files(root / package)):
            found.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def _files(package: Path) -> Iterator[Path]:
    for path in package.rglob("*"):
        # A scenario is no code: whoever keeps what was played keeps the scenario beside this.
        if "__pycache__" not in path.parts and path.suffix != ".yaml" and path.is_file():
            yield path

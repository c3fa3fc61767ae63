"""Which code plays stories, and is played by them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


@cache
def code_sha256() -> str:
    """Of all that plays and is played: the lab's code and the provisioner's."""
    found = hashlib.sha256()
    root = Path(__file__).parents[2]
    for package in ("bmsim", "provisioner", "scenarios"):
        for path in sorted((root / package).rglob("*.py")):
            found.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()

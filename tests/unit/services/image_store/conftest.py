from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.services.image_store import ImageStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> ImageStore:
    return ImageStore(root)

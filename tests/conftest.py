"""For all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair, and what else runs on it.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

NEEDS = {folder: Path(__file__).parent / folder for folder in ("wire", "machine")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A folder tells what its tests need: a module that forgets to say so is no fast one all the same."""
    for item in items:
        for mark, folder in NEEDS.items():
            if folder in item.path.parents:
                item.add_marker(mark)

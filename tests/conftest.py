"""For all tests."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# How long an example takes is the machine's affair, and what else runs on it.
settings.register_profile("suite", deadline=None)
# What `script/test --fast` asks for: a quarter of the examples of each search.
settings.register_profile("fast", deadline=None, max_examples=settings.default.max_examples // 4)
settings.load_profile("suite")

# By default a traceback is drawn in colours, with the lines of the source: a tenth of a second each.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)

NEEDS = {folder: f"{Path(__file__).parent / folder}/" for folder in ("wire", "machine")}


@pytest.fixture(scope="session", autouse=True)
def _beside_other_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """script/leftovers compares all of this system, on which tests of other workers have mounts and loop
    devices: in pytest's folder, and labs in their own."""
    with pytest.MonkeyPatch.context() as patch:
        of_all_workers = tmp_path_factory.getbasetemp().parent
        patch.setenv("LEFTOVERS_OF_OTHERS", f"{of_all_workers}:{tempfile.gettempdir()}")
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected lives to the end: to look through it for garbage while it grows takes a fifth of the
    collection of tests, and again in each full one of garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A folder tells what its tests need: a module that forgets to say so is no fast one all the same."""
    for item in items:
        place = str(item.path)
        for mark, folder in NEEDS.items():
            if place.startswith(folder):
                item.add_marker(mark)

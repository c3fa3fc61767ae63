from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.machine.lab import Lab, lab
from tests.machine.racks import rack


@pytest.fixture
def new_lab() -> Iterator[Callable[..., Lab]]:
    """Makes a lab: `new_lab(node(firmware="uefi"), deploy={...})`. Taken down at the end of the test."""
    with ExitStack() as stack:

        def make(*nodes: dict[str, Any], pdus: Sequence[dict[str, Any]] = (), **settings: Any) -> Lab:
            worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
            # Not pytest's own folder: with it, the paths of sockets get too long.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-")))
            return stack.enter_context(lab(folder, worker, rack(*nodes, pdus=pdus), **settings))

        yield make

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bmsim.bmc import Bmc, running_bmc


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[Bmc]:
    """A BMC whose machine is on; nothing unforeseen may have happened in it by the end."""
    with running_bmc(tmp_path) as running:
        yield running
        assert running.process.poll() is None, running.errors
    assert "Traceback" not in running.errors, running.errors

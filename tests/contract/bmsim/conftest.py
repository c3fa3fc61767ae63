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


@pytest.fixture(scope="module")
def lasting_bmc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmc]:
    with running_bmc(tmp_path_factory.mktemp("bmc")) as running:
        yield running


@pytest.fixture
def renewed_bmc(lasting_bmc: Bmc) -> Iterator[Bmc]:
    """As `bmc`, for tests that don't depend on what it went through before: its process takes longer to start
    than most of them to end."""
    lasting_bmc.renew()
    yield lasting_bmc
    assert lasting_bmc.process.poll() is None, lasting_bmc.errors
    assert "Traceback" not in lasting_bmc.errors, lasting_bmc.errors

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bmsim.api import RunningRack
from tests.wire.bmsim.traces import MARK

NewRack = Callable[..., RunningRack]

BMC_PASSWORD = "correct-horse"


def rack_file(name: str = "test") -> Mapping[str, Any]:
    return {
        "name": name,
        "networks": {"provisioning": {"subnet": "10.77.0.0/24"}, "management": {"subnet": "10.78.0.0/24"}},
        "compute_hosts": [
            {
                "name": f"ch{number}",
                "provisioning_address": f"10.77.0.{9 + number}",
                "management_address": f"10.78.0.{9 + number}",
            }
            for number in (1, 2)
        ],
        "nodes": [
            {
                "name": "n1",
                "memory_mib": 256,
                "disks": [{"size_mib": 1024}],
                "nics": [{"mac": "52:54:00:77:00:01"}],
                "bmc": {"address": "10.78.0.101", "user": "admin", "password": BMC_PASSWORD},
            }
        ],
    }


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Stands in the environment of every process that the test starts, and of theirs."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return value


@pytest.fixture
def new_rack(tmp_path: Path, mark: str) -> Iterator[NewRack]:
    """Brings a rack up: `new_rack("name")`. Taken down at the end of the test."""
    with ExitStack() as stack:

        def make(name: str = "test", folder: str = "racks") -> RunningRack:
            return stack.enter_context(RunningRack.up(rack_file(name), tmp_path / folder))

        yield make


@pytest.fixture
def rack(new_rack: NewRack) -> RunningRack:
    return new_rack()

"""For outlets: a PDU of bmsim's that is a test's own, and what ends all that it began."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.drivers.pdu import Pdu, running_pdu


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def pdu(stack: ExitStack, tmp_path: Path) -> Pdu:
    return stack.enter_context(running_pdu(tmp_path))

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_peer import AgentPeer
from tests.unit.agent.stage import Stage, staged


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[tuple[Stage, AgentPeer]]:
    with staged(tmp_path) as (stage, peer):
        yield stage, peer

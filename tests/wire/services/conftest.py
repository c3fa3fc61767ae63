from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from provisioner.protocols.events import WireEvent
from tests.wire.services.segment import Segment, segment

T = TypeVar("T")
DEADLINE_S = 60.0
LOADER_BYTES = 173_792
KERNEL_BYTES = 3 * 2**20 + 17


@dataclass
class Heard:
    """`protocols.events.EventSink` that remembers."""

    events: list[WireEvent] = field(default_factory=list)

    def __call__(self, event: WireEvent) -> None:
        self.events.append(event)

    def named(self, name: str) -> list[WireEvent]:
        return [event for event in self.events if event.name == name]

    async def until(self, name: str, count: int = 1) -> list[WireEvent]:
        while len(self.named(name)) < count:
            await asyncio.sleep(0.01)
        return self.named(name)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def network() -> Iterator[Segment]:
    with segment() as made:
        yield made


@pytest.fixture
def loader(tmp_path: Path) -> Path:
    """What firmware fetches by TFTP."""
    path = tmp_path / "loader.efi"
    path.write_bytes(os.urandom(LOADER_BYTES))
    return path


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """What a loader fetches by HTTP."""
    path = tmp_path / "blob"
    path.write_bytes(os.urandom(KERNEL_BYTES))
    return path


def play(story: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await story()

    return asyncio.run(bounded())

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from provisioner.protocols.events import WireEvent
from tests.wire.services.segment import Segment, segment

T = TypeVar("T")
DEADLINE_S = 60.0


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


def play(story: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await story()

    return asyncio.run(bounded())

"""Locks of images among the processes of a world, which end with the process that has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from provisioner.core.errors import BeingReceived, TransientError
from provisioner.services.image_locks import POLL_S, WAIT_S
from scenarios.runner.processes import Process, current


@dataclass(eq=False, slots=True)
class _Hold:
    """by: None is the world itself."""

    by: Process | None

    @property
    def lasts(self) -> bool:
        return self.by is None or self.by.alive


class ModelImageLocks:
    """`provisioner.services.image_locks.ImageLocks`, without files."""

    def __init__(self) -> None:
        self._held: dict[str, _Hold] = {}

    @asynccontextmanager
    async def alone(self, wait_s: float | None = WAIT_S) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(wait_s):
                while self._is_held("lock"):  # noqa: ASYNC110 - a dead one would set no event
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise TransientError("lock the images", answer=f"another one had it for {wait_s} s") from error
        hold = self._held["lock"] = _Hold(current())
        try:
            yield
        finally:
            self._let_go("lock", hold)

    @asynccontextmanager
    async def receiving(self, image_id: str) -> AsyncIterator[None]:
        name = f"receiving/{image_id}"
        async with self.alone():
            if self._is_held(name):
                raise BeingReceived(
                    f"receive the bytes of image {image_id}", answer="they are being received already"
                )
            hold = self._held[name] = _Hold(current())
        try:
            yield
        finally:
            self._let_go(name, hold)

    def _is_held(self, name: str) -> bool:
        hold = self._held.get(name)
        return hold is not None and hold.lasts

    def _let_go(self, name: str, hold: _Hold) -> None:
        if self._held.get(name) is hold:
            del self._held[name]

"""Programs that a process of a compute host has started, and the guard beside it that ends them.

As on a real machine they run on while their parent stands still, and die with it. The guard does what
`provisioner.services.lease_guard_program` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from math import inf
from typing import Any, TypeVar

from provisioner.services.daemon import FIRST_RESTART_S, LAST_RESTART_S
from provisioner.services.lease_guard_program import LOOK_S
from scenarios.runner.processes import Process, ProcessDied, as_world

T = TypeVar("T")


class ChildKilled(Exception):
    """A child was ended by a signal before it was done."""


class ModelChildren:
    """Of one process, `parent`."""

    def __init__(self, parent: Process) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: dict[Process, None] = {}
        self._lease_ends_at_s = inf
        self._guarded = True
        self._look: asyncio.TimerHandle | None = None
        self._server: Process | None = None
        parent.on_death(self._parent_died)

    @property
    def dhcp_serves(self) -> bool:
        """Whether its DHCP server, which is a child, runs."""
        return self._server is not None and self._server.alive

    async def run(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Does `work` as a child; ends it when cancelled. Raises ChildKilled."""
        child = Process(name)
        self._began(child)
        try:
            return await child.call(work)
        except ProcessDied:
            raise ChildKilled(f"{name} was killed") from None
        finally:
            self._running.pop(child, None)

    async def serve_dhcp(self) -> None:
        """Keeps the DHCP server running, as `provisioner.services.daemon` does, until cancelled."""
        pause_s = FIRST_RESTART_S
        while True:
            began_s, ended = self._loop.time(), self._loop.create_future()
            self._server = server = Process("dnsmasq")
            server.on_death(lambda ended=ended: ended.done() or ended.set_result(None))  # type: ignore[misc]
            self._began(server)
            await ended
            self._running.pop(server, None)
            if self._loop.time() - began_s > LAST_RESTART_S:
                pause_s = FIRST_RESTART_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_RESTART_S)

    # --- the guard -----------------------------------------------------------------------------

    def lasts_until(self, ends_at_s: float) -> None:
        """Told of each new end of the lease."""
        self._lease_ends_at_s = ends_at_s
        self._watch()

    def kill_guard(self) -> None:
        """Nothing ends the children with the lease any more."""
        self._guarded = False
        self._watch()

    def guard_again(self) -> None:
        """Its parent has started it anew."""
        self._guarded = True
        self._watch()

    def _began(self, child: Process) -> None:
        self._running[child] = None
        if self._look is None:
            self._watch()

    def _watch(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._guarded and self._running and self._lease_ends_at_s < inf:
            # It sleeps until the lease ends, and looks now and then from there on.
            now_s = self._loop.time()
            at_s = self._lease_ends_at_s if now_s < self._lease_ends_at_s else now_s + LOOK_S
            self._look = as_world(self._loop.call_at, at_s, self._end_all)

    def _end_all(self) -> None:
        self._look = None
        self._kill_children()

    def _parent_died(self) -> None:
        self._guarded = False
        self._watch()
        self._kill_children()

    def _kill_children(self) -> None:
        for child in tuple(self._running):
            child.kill()
        self._running.clear()

"""What a host's nodes are served is brought in step with their rows beside all else that the host does.

One node's services may take half a minute: nobody waits for them but that node's own work, and its operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Set

import structlog

from provisioner.compute.edges import Edges
from provisioner.compute.publications import Plan, Publications
from provisioner.compute.tasks import stop_tasks
from provisioner.core.errors import TransientError

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""After the store was away."""


class Following:
    """fell_behind(): a plan couldn't be carried out; all nodes are to be looked at.
    done(tried): all plans have been; tried: and there was something to do."""

    def __init__(
        self,
        edges: Edges,
        published: Publications,
        *,
        fell_behind: Callable[[], None],
        done: Callable[[bool], None],
    ) -> None:
        self._edges = edges
        self._published = published
        self._fell_behind = fell_behind
        self._done = done
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> bool:
        return bool(self._tasks)

    def begin(
        self,
        group: asyncio.TaskGroup,
        mine: Collection[str],
        *,
        first: Collection[str],
        busy: Set[str],
        thoroughly: bool,
    ) -> None:
        """As `Publications.follow`. What it takes up is known when this returns."""
        plan = self._published.plan(mine, first=first, busy=busy, thoroughly=thoroughly)
        task = group.create_task(self._carry_out(plan), name="publish")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, plan: Plan) -> None:
        try:
            tried = await self._published.carry_out(plan)
        except TransientError as error:
            log.warning("host.waits_for_store", host=self._edges.lease.host, cause=error.message)
            await self._edges.clock.sleep(AGAIN_S)
            self._fell_behind()
        else:
            if self._tasks == {asyncio.current_task()}:
                self._done(tried)

    def cancel(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    async def stop(self) -> None:
        await stop_tasks(tuple(self._tasks))

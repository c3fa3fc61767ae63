"""Starts the parts of a provisioner that a process plays, and stops them in the right order."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, nullcontext, suppress
from pathlib import Path

import structlog

from provisioner.api.metrics import Metrics
from provisioner.app.api_side import api_context, first_start, serve_api
from provisioner.app.compute_side import ComputeSide, compute_side
from provisioner.app.image_sweep import sweep_images
from provisioner.app.logging import set_up_logging
from provisioner.app.own_metrics import serve_metrics
from provisioner.app.secret_keys import first_box
from provisioner.compute.host import ComputeHost
from provisioner.config.settings import Settings
from provisioner.scheduler.scheduler import Scheduler
from provisioner.services import descriptors
from provisioner.services.children import watch_without_threads
from provisioner.services.http_listener import DESCRIPTORS_PER_CONNECTION, MAX_CONNECTIONS
from provisioner.services.image_store import ImageStore
from provisioner.services.state_folder import OnlyUser, StateFolder
from provisioner.services.system import RandomIds, SystemClock
from provisioner.store import open_store

log = structlog.get_logger(__name__)

API, COMPUTE = "api", "compute"

FEW_DESCRIPTORS = MAX_CONNECTIONS * DESCRIPTORS_PER_CONNECTION
"""With less, fewer nodes can be sent files at once."""


async def serve(settings: Settings, roles: frozenset[str]) -> None:
    """Runs until SIGTERM or SIGINT. roles: any of "api" (REST and scheduler) and "compute".

    Raises ProvisionerError when something can't start, LeaseLost when this host may no longer act.
    """
    set_up_logging(settings.log.level, settings.log.format)
    if (most := descriptors.raise_limit()) < FEW_DESCRIPTORS:
        log.warning(
            "provisioner.few_descriptors",
            limit=most,
            advice=f"Raise the hard limit of open files to {FEW_DESCRIPTORS} or more: LimitNOFILE of systemd",
        )
    watch_without_threads()
    ending = Ending()
    serving = asyncio.create_task(_serve(settings, roles, ending))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, serving.cancel)
    loop.add_signal_handler(signal.SIGTERM, lambda: ending.begins() or serving.cancel())
    with suppress(asyncio.CancelledError):
        await serving
    log.info("provisioner.stopped")


class Ending:
    """SIGTERM has a compute host hand its nodes over first; a second one, or SIGINT, ends it at once."""

    host: ComputeHost | None = None
    _begun = False

    def begins(self) -> bool:
        """Whether the process will end by itself now."""
        if self.host is None or self._begun:
            return False
        self._begun = True
        log.info("provisioner.leaving")
        self.host.leave()
        return True


def _only_compute_host(settings: Settings) -> AbstractContextManager[None]:
    """Holds an embedded database for one compute host. Raises Conflict when another one has it."""
    if not settings.database_url.startswith("sqlite:////"):
        return nullcontext()
    return OnlyUser(
        Path(settings.database_url.removeprefix("sqlite:///")),
        "SQLite serves one compute host: set database to one PostgreSQL (postgresql+psycopg://…) on each",
    )


async def _serve(settings: Settings, roles: frozenset[str], ending: Ending) -> None:
    clock, ids = SystemClock(), RandomIds()
    with ExitStack() as locks:
        locks.enter_context(StateFolder(settings.state_dir, "".join(roles) if len(roles) == 1 else ""))
        if COMPUTE in roles:
            locks.enter_context(_only_compute_host(settings))
        images = ImageStore(settings.images)
        store = open_store(settings.database_url, password=settings.database_password())
        try:
            box = await first_box(settings, store)
            if API in roles:
                await first_start(settings, store, ids)
                await sweep_images(store, images)
            metrics = Metrics()
            async with AsyncExitStack() as stack:
                side: ComputeSide | None = None
                if COMPUTE in roles:
                    side = await stack.enter_async_context(
                        compute_side(settings, store, images, box, clock, ids, metrics)
                    )
                    metrics.follow_devices(side.breakers.count_open)
                async with asyncio.TaskGroup() as group:
                    tasks: list[asyncio.Task[None]] = []
                    if API in roles:
                        context = api_context(
                            settings,
                            store,
                            images,
                            box,
                            clock,
                            ids,
                            metrics=metrics,
                            consoles=side.consoles if side else None,
                            progress=side.progress.get if side else lambda node_id: None,
                            silence=side.silence if side else lambda node: None,
                            ready=side.host.ready.is_set if side else lambda: True,
                        )
                        scheduler = Scheduler(store, clock, ids, settings.poll_s)
                        tasks.append(group.create_task(scheduler.run()))
                        tasks.append(group.create_task(serve_api(settings, context)))
                    if side is not None and settings.host.metrics_listen is not None:
                        told = serve_metrics(settings.host.metrics_listen, metrics)
                        tasks.append(group.create_task(told))
                    log.info("provisioner.started", roles=sorted(roles), host=settings.host.name)
                    if side is not None:
                        ending.host = side.host
                        await side.host.run()
                        for task in tasks:
                            task.cancel()
        finally:
            await store.close()

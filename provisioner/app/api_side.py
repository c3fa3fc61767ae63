"""The REST API, put together and served by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from provisioner.api.address_pool import AddressPool
from provisioner.api.application import build_app
from provisioner.api.audit import AuditPolicy
from provisioner.api.context import ApiContext
from provisioner.api.credentials import hash_token
from provisioner.api.limits import LimitPolicy, Limits
from provisioner.api.metrics import Metrics
from provisioner.api.timeline_pruning import TimelinePolicy
from provisioner.app.power_drivers import REAL_POWER
from provisioner.app.server import STOP_TIMEOUT_S, Server, tcp, unix
from provisioner.app.tls import ServerTls
from provisioner.config.settings import Settings
from provisioner.core.errors import Conflict
from provisioner.core.model import DEFAULT_TENANT, ApiToken, Flavor, Node, User
from provisioner.core.public_address import AddressPolicy
from provisioner.core.roles import Role
from provisioner.protocols.clock import Clock
from provisioner.protocols.console import ConsoleBook
from provisioner.protocols.ids import Ids
from provisioner.protocols.power import DeviceSilence
from provisioner.protocols.store import Store, Tx
from provisioner.services.image_store import ImageStore
from provisioner.services.local_ca import TlsFolder
from provisioner.services.secret_box import SecretBox

ADMIN = "admin"
"""The first user, and the name of its token."""

SMALL = {"name": "baremetal.small", "cpus": 1, "memory_mib": 512, "disk_mib": 1024}
"""The flavor of the first start: fits any machine, so that a first deploy needs no thought."""


def api_context(
    settings: Settings,
    store: Store,
    images: ImageStore,
    box: SecretBox,
    clock: Clock,
    ids: Ids,
    *,
    metrics: Metrics,
    consoles: ConsoleBook | None,
    progress: Callable[[str], float | None],
    silence: Callable[[Node], DeviceSilence | None],
    ready: Callable[[], bool],
) -> ApiContext:
    return ApiContext(
        store=store,
        ids=ids,
        clock=clock,
        images=images,
        seal=box.seal,
        unseal=box.open,
        region=settings.api.region,
        image_urls=AddressPolicy(
            members=settings.image_urls.members,
            also=settings.image_urls.also,
            # Whatever its addresses are: nobody but us has anything to fetch there.
            never=(*settings.image_urls.never, settings.network.subnet),
        ),
        quotas={tenant: quota.instances for tenant, quota in settings.quotas.items()},
        aside=asyncio.to_thread,
        pool=AddressPool(*settings.network.pool_range, settings.network.fault),
        power_drivers=frozenset(("fake",) if settings.rack == "fake" else REAL_POWER),
        deploy_drivers=_deploy_drivers(settings),
        metrics=metrics,
        consoles=consoles,
        progress=progress,
        silence=silence,
        ready=ready,
        limits=Limits(LimitPolicy(**settings.api.limits.model_dump())),
        audit=AuditPolicy(
            keep_s=settings.audit.keep_days * 86_400.0, keep_records=settings.audit.keep_records
        ),
        timeline=TimelinePolicy(
            keep_s=settings.timeline.keep_days * 86_400.0, keep_events=settings.timeline.keep_events
        ),
    )


def _deploy_drivers(settings: Settings) -> frozenset[str]:
    serves_nfs = settings.rack == "fake" or settings.nfs.server != "none"
    return frozenset(("iscsi", "nfs") if serves_nfs else ("iscsi",))


async def first_start(settings: Settings, store: Store, ids: Ids) -> None:
    """Makes the first API token and flavor, if there are none. The token goes to a file of its own: that of
    one process alone, where several start first on one database."""
    path = settings.token_file
    known = await store.transact(lambda tx: tx.count(ApiToken))
    if known and path.exists():
        return
    token = ids.secret()

    def make(tx: Tx) -> None:
        if tx.get(User, ADMIN) is None:
            tx.insert(User(id=ADMIN, tenant=DEFAULT_TENANT, role=Role.ADMIN, created_at=tx.now()))
        tx.insert(
            ApiToken(id=hash_token(token), name=ADMIN, user_id=ADMIN, role=Role.ADMIN, created_at=tx.now())
        )
        if not tx.count(Flavor):
            tx.insert(Flavor(id=ids.uuid(), **SMALL))  # type: ignore[arg-type]

    if not known:
        _write_token(path, token)
        try:
            await store.transact(make)
        except Conflict:
            # Another process's first start came between. A token that nobody knows would be taken for good.
            _forget_token(path, token)
            return
        if sys.stdout.isatty():
            # Not into a pipe: it may be a log.
            print(f"API token of the first admin, shown now and never again (it is in {path}): {token}")


def _write_token(path: Path, token: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(token + "\n")


def _forget_token(path: Path, token: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == token + "\n":
            path.unlink()


async def serve_api(settings: Settings, context: ApiContext) -> None:
    """Until cancelled. Raises PermanentError when it can't listen."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(tcp(settings.api.listen, "api.listen"))]
        plain = []
        if settings.api.socket is not None:
            plain.append(stack.enter_context(unix(settings.api.socket)))
        tls = _tls(settings)
        config = uvicorn.Config(
            build_app(context),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
            lifespan="on",
            # Else each client on this machine says where it came from, and so past its limits.
            proxy_headers=bool(settings.api.trusted_proxies),
            forwarded_allow_ips=[str(network) for network in settings.api.trusted_proxies],
            # No limit_concurrency: idle connections count, and beyond it everybody is answered 503. Whoever
            # held so many open would have shut all others out.
        )
        config.load()
        config.ssl = tls.context if tls else None
        following = asyncio.create_task(tls.follow(context.clock)) if tls else None
        try:
            await Server(config, plain).run_until_cancelled(sockets)
        finally:
            if following is not None:
                following.cancel()


def _tls(settings: Settings) -> ServerTls | None:
    """Raises PermanentError when the certificate can't be used."""
    wanted = settings.api.tls
    if wanted is None:
        return None
    made = TlsFolder(settings.tls_folder)
    return ServerTls(wanted.certificate or made.certificate, wanted.key)

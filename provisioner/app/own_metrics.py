"""`/metrics` of a compute host: what it alone knows of itself, where no API of its process tells it."""

from __future__ import annotations

import contextlib

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from provisioner.api.metrics import Metrics
from provisioner.app.server import STOP_TIMEOUT_S, Server, tcp


async def serve_metrics(listen: str, metrics: Metrics) -> None:
    """Until cancelled. Raises PermanentError when it can't listen."""

    async def tell(request: Request) -> Response:
        return Response(metrics.own_text(), media_type=CONTENT_TYPE_LATEST)

    with contextlib.closing(tcp(listen, "host.metrics_listen")) as bound:
        config = uvicorn.Config(
            Starlette(routes=[Route("/metrics", tell)]),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
        config.load()
        await Server(config).run_until_cancelled([bound])

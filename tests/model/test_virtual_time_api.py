"""The provisioner's own API answers within the loop, without a thread, a clock or chance of its own."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest

from provisioner.api.address_pool import AddressPool
from provisioner.api.application import build_app
from provisioner.api.context import ApiContext
from provisioner.api.metrics import Metrics
from provisioner.core.model import Node
from provisioner.services.image_store import ImageStore
from provisioner.store import open_store
from scenarios.runner.model.world_time import SeededIds, WorldClock, chance
from scenarios.runner.processes import Process, ProcessDied
from scenarios.runner.reality import forbidden
from scenarios.runner.virtual_time import run
from tests.unit.records import token_of_admin

TOKEN = "a-token-of-the-tests"
NODE = {
    "name": "n1",
    "arch": "x86_64",
    "vcpus": 2,
    "memory_mib": 1024,
    "disk_mib": 4096,
    "ports": [{"mac": "52:54:00:77:00:01"}],
    "power": {"driver": "ipmi", "address": "10.78.0.101", "user": "admin", "password": "open-sesame"},
}


class _SilentConsoles:
    def recording(self, node: Node) -> Any:
        raise NotImplementedError("the API records nothing")

    def position(self, node_id: str) -> int:
        return 0

    def text(self, node_id: str, *, of: str | None = None, since: int = 0, tail_bytes: int = 65536) -> str:
        return ""


def _context(images: ImageStore) -> ApiContext:
    clock = WorldClock(asyncio.get_running_loop())
    return ApiContext(
        store=open_store("memory:", wall_clock=clock.wall),
        ids=SeededIds(chance(1, "ids")),
        clock=clock,
        images=images,
        seal=lambda text: text,
        unseal=lambda text: text,
        pool=AddressPool(IPv4Address("10.77.0.100"), IPv4Address("10.77.0.103")),
        power_drivers=frozenset({"ipmi"}),
        metrics=Metrics(),
        consoles=_SilentConsoles(),
    )


async def _serve(context: ApiContext, up: asyncio.Future[httpx.AsyncClient]) -> None:
    app = build_app(context)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://provisioner",
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        up.set_result(client)
        await asyncio.Event().wait()


async def _story(images: ImageStore) -> list[tuple[int, str]]:
    context = _context(images)
    await context.store.transact(lambda tx: tx.insert(*token_of_admin(TOKEN, tx.now())))
    process = Process("api")
    up: asyncio.Future[httpx.AsyncClient] = asyncio.get_running_loop().create_future()
    process.start(_serve(context, up), name="serve")
    client = await up
    answers = []
    for method, path, body in (
        ("GET", "/v1/nodes", None),
        ("POST", "/v1/nodes", NODE),
        ("POST", "/v1/nodes", NODE | {"vcpus": "many"}),
        ("GET", "/v1/nodes/n1", None),
        ("GET", "/v1/instances", None),
        ("GET", "/metrics", None),
    ):
        answer = await process.call(client.request(method, path, json=body))
        answers.append((answer.status_code, answer.text))
    process.kill()
    with pytest.raises(ProcessDied):
        await process.call(client.get("/v1/nodes"))
    return answers


def test_the_api_answers_the_same_each_time_without_touching_the_real_world(tmp_path: Path) -> None:
    images = ImageStore(tmp_path, reserve_bytes=0)  # no image is asked for
    with forbidden():
        answers, again = (run(_story(images), seed=3) for _ in range(2))
    assert [status for status, _ in answers] == [200, 201, 422, 200, 200, 200]
    assert "2026-01-01T00:00:00" in answers[1][1]
    assert answers[:-1] == again[:-1]

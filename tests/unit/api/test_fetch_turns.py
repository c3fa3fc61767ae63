"""Tenants whose images come from slow servers hold up their own fetches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.api import image_fetches
from tests.unit.api.conftest import Api
from tests.unit.api.image_calls import CONTENT


@pytest.mark.wire
def test_a_server_that_trickles_holds_up_its_own_tenant_alone(api: Api) -> None:
    asked: list[str] = []
    goes_on = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT)
        await writer.drain()
        if asked[-1].startswith("/slow"):
            await goes_on.wait()
        writer.close()

    async def reach(user: Any, name: str, state: str) -> None:
        while True:
            answer = await api.request("GET", f"/v1/images/{name}", headers=user.headers)
            if answer.json()["state"] == state:
                return
            await asyncio.sleep(0)

    red, blue = api.user_of("red", "member"), api.user_of("blue", "member")

    async def story() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, asyncio.timeout(20):
            place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

            async def order(user: Any, name: str) -> None:
                body = {"name": name, "kind": "disk", "url": f"{place}/{name}"}
                made = await api.request("POST", "/v1/images", json=body, headers=user.headers)
                assert made.status_code == 201, made.text

            for name in ("slow-1", "slow-2"):
                await order(red, name)
            while not asked:
                await asyncio.sleep(0)
            await order(blue, "quick")
            await reach(blue, "quick", "active")
            assert len(asked) == 2, "of one tenant, one at a time"
            goes_on.set()
            for name in ("slow-1", "slow-2"):
                await reach(red, name, "active")

    api.run(story())


def test_slow_servers_of_several_tenants_hold_up_other_tenants_for_a_while_only(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    patience, sleep = asyncio.Event(), api.context.clock.sleep

    async def trickles(url: str, **how: Any) -> None:
        asked.append(url)
        await asyncio.Event().wait()

    async def lasts(duration_s: float) -> None:
        await (patience.wait() if duration_s == image_fetches.COUNTED_S else sleep(duration_s))

    async def many(number: int) -> None:
        async with asyncio.timeout(20):
            while len(asked) < number:
                await asyncio.sleep(0)

    monkeypatch.setattr(api.images, "fetch", trickles)
    monkeypatch.setattr(api.context.clock, "sleep", lasts)
    for number in range(image_fetches.MOST + 1):
        red = api.user_of(f"red{number}", "member")
        for name in ("one", "two"):
            order = {"name": name, "kind": "disk", "url": f"http://127.0.0.1:1/{number}/{name}"}
            assert red.call("POST", "/v1/images", order).status_code == 201
    api.run(many(image_fetches.AT_ONCE))
    assert len(asked) == image_fetches.AT_ONCE
    patience.set()
    api.run(many(image_fetches.MOST))
    assert len(asked) == image_fetches.MOST
    assert all(url.endswith("/one") for url in asked), "of one tenant, one at a time"

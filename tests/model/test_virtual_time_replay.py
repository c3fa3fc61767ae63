"""One seed, one trace: in another process, with other hashes of strings, byte for byte."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from scenarios.runner.processes import Process
from scenarios.runner.reality import RealityError, forbidden
from scenarios.runner.virtual_time import run

ROOT = Path(__file__).parents[2]


async def story() -> list[list[Any]]:
    """Everything in asyncio whose order could depend on where objects lie."""
    trace: list[list[Any]] = []
    loop = asyncio.get_running_loop()

    def note(what: str) -> None:
        task = asyncio.current_task()
        trace.append([loop.time(), task.get_name() if task else "", what])

    async def worker(name: str, lock: asyncio.Lock, duration_s: float) -> str:
        try:
            async with lock:
                note(f"{name} has the lock")
                await asyncio.sleep(0)
            await asyncio.gather(*(asyncio.sleep(duration_s) for _ in range(3)))
            note(f"{name} slept")
        except asyncio.CancelledError:
            note(f"{name} cancelled")
            raise
        return name

    async def fails(after_s: float) -> None:
        await asyncio.sleep(after_s)
        raise ValueError

    async def passes(name: str, door: asyncio.Future[None]) -> None:
        await door
        note(f"{name} passed")

    lock = asyncio.Lock()
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(worker(f"w{number}", lock, number % 7))
            group.create_task(fails(3))
    except* ValueError:
        note("group failed")
    pending = {asyncio.create_task(worker(f"v{number}", lock, number % 3)) for number in range(40)}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            note(f"{task.result()} is done")
    doors = [loop.create_future() for _ in range(30)]
    waiting = [asyncio.create_task(passes(f"d{number}", door)) for number, door in enumerate(doors)]
    await asyncio.sleep(1)
    for door in set(doors):  # in the order of their addresses
        door.set_result(None)
    await asyncio.gather(*waiting)
    process = Process("host-1")
    for number in range(20):
        process.start(worker(f"p{number}", lock, 1 + number % 5))
    await asyncio.sleep(2)
    process.stop()
    await asyncio.sleep(1)
    process.cont()
    await asyncio.sleep(1)
    process.kill()
    for task in asyncio.all_tasks():
        note(f"left: {task.get_name()}")
    return trace


def trace_of(seed: int) -> str:
    with forbidden():
        return "\n".join(json.dumps(line) for line in run(story(), seed))


def _elsewhere(seed: int, hash_seed: str, ballast: int) -> str:
    code = (
        f"ballast = [object() for _ in range({ballast})]; del ballast[::3]\n"
        "from tests.model.test_virtual_time_replay import trace_of\n"
        f"print(trace_of({seed}), end='')"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    ).stdout


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_a_seed_gives_the_same_trace_in_every_process(seed: int) -> None:
    here = trace_of(seed)
    assert len(here.splitlines()) > 200
    assert trace_of(seed) == here
    assert _elsewhere(seed, hash_seed="1", ballast=0) == here
    assert _elsewhere(seed, hash_seed="4711", ballast=12_345) == here


def test_other_seeds_give_other_traces() -> None:
    assert len({trace_of(seed) for seed in range(10)}) == 10


def _application() -> FastAPI:
    app = FastAPI()

    async def pause() -> float:
        await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    @app.get("/async")
    async def in_the_loop(at_s: float = Depends(pause)) -> dict[str, float]:
        return {"at_s": at_s}

    @app.get("/thread")
    def in_a_thread() -> dict[str, float]:
        return {}

    return app


def test_a_web_application_answers_a_client_within_the_loop() -> None:
    async def main() -> list[float]:
        transport = httpx.ASGITransport(_application())
        async with httpx.AsyncClient(transport=transport, base_url="http://provisioner") as client:
            answers = await asyncio.gather(*(client.get("/async") for _ in range(5)))
        return [answer.json()["at_s"] for answer in answers]

    with forbidden():
        assert run(main(), seed=0) == [1.0] * 5


def test_a_handler_that_wants_a_thread_is_refused() -> None:
    async def main() -> None:
        transport = httpx.ASGITransport(_application())
        async with httpx.AsyncClient(transport=transport, base_url="http://provisioner") as client:
            await client.get("/thread")

    with pytest.raises((RealityError, ExceptionGroup)) as caught, forbidden():
        run(main(), seed=0)
    assert caught.type is RealityError or caught.group_contains(RealityError)

"""Images of the model that are broken where they are fetched from: what is said of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bmsim.faults.catalogue import completed
from provisioner.core.errors import BeingReceived, ImageInvalid, ProvisionerError, TransientError
from provisioner.core.model import ImageKind
from provisioner.protocols.image import StoredImage
from scenarios.runner.model.contents import LIBRARY, ImageServer
from scenarios.runner.processes import Process, as_world
from scenarios.runner.virtual_time import run

TINY = LIBRARY["tiny"]


def fetched(fault: str, **given: Any) -> tuple[StoredImage | ProvisionerError, list[tuple[str, str]]]:
    """What came of it, and what struck."""
    struck: list[tuple[str, str]] = []
    server = ImageServer(lambda *what: struck.append(what))
    server.broken["tiny"] = (fault, completed(fault, given))
    url = "http://images.example/tiny"
    how: dict[str, Any] = {"format": "qcow2", "kind": ImageKind.ROOT, "max_bytes": 2**40}
    try:
        return asyncio.run(server.fetch(url, expected_sha256=TINY.sha256, **how)), struck
    except ProvisionerError as error:
        return error, struck


@pytest.mark.parametrize(
    ("fault", "given", "kind", "told"),
    [
        ("image.corrupt", {}, ImageInvalid, f"{TINY.sha256} was promised"),
        (
            "image.truncated",
            {"after_bytes": 1000},
            TransientError,
            f"cut off after 1000 of {TINY.size_bytes}",
        ),
        ("image.unreachable", {}, TransientError, "disconnected without sending a response"),
    ],
)
def test_a_broken_image_is_told_by_what_came(
    fault: str, given: dict[str, Any], kind: type[ProvisionerError], told: str
) -> None:
    came, struck = fetched(fault, **given)
    assert isinstance(came, kind)
    assert told in str(came)
    assert struck == [(fault, "tiny")]


def test_an_image_that_ends_after_its_end_is_whole() -> None:
    came, struck = fetched("image.truncated", after_bytes=TINY.size_bytes)
    assert isinstance(came, StoredImage)
    assert struck == []


def test_an_image_is_received_by_one_process_until_that_one_is_dead() -> None:
    async def story() -> None:
        images = ImageServer(lambda *_: None)
        first, second = Process("first"), Process("second")
        entered = asyncio.Event()

        async def receive() -> None:
            async with images.receiving("image-1"), images.alone():
                as_world(entered.set)
                await asyncio.Event().wait()

        async def look() -> None:
            async with images.receiving("image-1"):
                pass

        first.start(receive())
        await entered.wait()
        with pytest.raises(TransientError, match=r"another one had it for 30.0 s"):
            await second.call(look())
        first.kill()
        await second.call(look())
        async with images.receiving("image-1"):
            with pytest.raises(BeingReceived):
                await second.call(look())

    run(story(), seed=1)

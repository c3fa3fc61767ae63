"""The API is killed with an order half done: repeated with its key, it is done once in any case."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import httpx
import pytest

from fixtures.postgres_server import PostgresServer
from tests.wire.control_plane.conftest import ControlPlane

pytestmark = pytest.mark.wire

MOMENTS_S = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05)
"""After the order was sent: before, in and after the transaction that stores it."""


@contextmanager
def client(plane: ControlPlane) -> Iterator[httpx.Client]:
    token = (plane.state / "admin.token").read_text().strip()
    transport = httpx.HTTPTransport(uds=str(plane.socket))
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        transport=transport, base_url="http://provisioner", headers=headers, timeout=60
    ) as made:
        yield made


def order(plane: ControlPlane, name: str) -> httpx.Response:
    body = {"name": name, "flavor": "baremetal.small", "image": "root"}
    with client(plane) as api:
        return api.post("/v1/instances", json=body, headers={"Idempotency-Key": f"order of {name}"})


def ordered_and_killed(plane: ControlPlane, name: str, when_s: float) -> httpx.Response | None:
    """What was answered, if anything was."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        with suppress(httpx.HTTPError):  # killed before it answered
            answers.append(order(plane, name))

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(when_s)
    plane.api.signal(signal.SIGKILL)
    plane.api.wait()
    asking.join()
    return answers[0] if answers else None


def once_only(plane: ControlPlane, name: str, answered: httpx.Response | None) -> None:
    """That the order's repetition is answered with the one instance that there is."""
    again = order(plane, name)
    assert again.status_code == 202, again.text
    assert answered is None or answered.json()["id"] == again.json()["id"]
    with client(plane) as api:
        found = api.get("/v1/instances?limit=100").json()["items"]
    assert [one["id"] for one in found if one["name"] == name] == [again.json()["id"]]


def test_an_order_that_the_database_never_got_is_taken_anew(
    plane: ControlPlane, server: PostgresServer
) -> None:
    plane.start()
    plane.register_images()
    server.freeze()
    try:
        answered = ordered_and_killed(plane, "web", 0.3)
    finally:
        server.thaw()
    assert answered is None
    plane.start()
    once_only(plane, "web", None)


def test_an_order_is_carried_out_once_whenever_the_api_is_killed(plane: ControlPlane) -> None:
    plane.start()
    plane.register_images()
    moments = list(MOMENTS_S)
    Random(1).shuffle(moments)
    for number, when_s in enumerate(moments):
        answered = ordered_and_killed(plane, f"web{number}", when_s)
        plane.start()
        once_only(plane, f"web{number}", answered)

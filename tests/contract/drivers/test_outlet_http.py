"""Outlets by HTTP, of web servers that refuse, and of URLs and tokens that tell too much."""

from __future__ import annotations

import httpx
import pytest

from provisioner.core.errors import (
    DeviceBusy,
    DeviceRefused,
    DeviceUnreachable,
    InvalidInput,
    ProvisionerError,
    WrongCredentials,
)
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_http import HttpDevices
from provisioner.protocols.power import PowerVerb
from tests.contract.drivers.outlets import http_address
from tests.contract.drivers.pdu import PASSWORD, Pdu
from tests.wire.services.conftest import play

pytestmark = pytest.mark.wire


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    ("change", "secret", "error"),
    [
        ({}, {"token": "not-this-one"}, WrongCredentials),
        ({"state": "/outlets/99"}, {"token": PASSWORD}, DeviceRefused),
    ],
)
def test_what_a_web_server_says_no_to_is_told(
    pdu: Pdu, change: dict[str, str], secret: dict[str, str], error: type[ProvisionerError]
) -> None:
    address = http_address(pdu) | {
        name: f"http://127.0.0.1:{pdu.http_port}{path}" for name, path in change.items()
    }

    async def story() -> PowerState:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await HttpDevices(client, discharge_s=1)("n1", address, secret).power_state()

    with pytest.raises(error, match=r"outlet at 127\.0\.0\.1: HTTP status 4") as caught:
        play(story)
    assert "not-this-one" not in str(caught.value)


def test_a_token_that_no_header_bears_stands_in_no_error(pdu: Pdu) -> None:
    """Of a node that was enrolled before such tokens were refused."""

    async def story() -> PowerState:
        async with httpx.AsyncClient(trust_env=False) as client:
            devices = HttpDevices(client, discharge_s=1)
            return await devices("n1", http_address(pdu), {"token": f"{PASSWORD}\n"}).power_state()

    with pytest.raises(InvalidInput, match="the end of a line") as caught:
        play(story)
    assert PASSWORD not in str(caught.value)
    assert caught.value.field == "power.token"


@pytest.mark.parametrize("user", ["", "admin:not-this-one@"], ids=["none", "login"])
def test_a_url_is_asked_for_whole_be_it_among_the_secrets_or_of_a_node_that_was_enrolled_before(
    user: str,
) -> None:
    """Such nodes have whole URLs in their address, with a login that goes into a header."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200 if request.method == "GET" else 404, text="yes")

    async def story(address: dict[str, object], secret: dict[str, str]) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            outlet = HttpDevices(client, discharge_s=1)("n1", address, secret)
            assert await outlet.power_state() is PowerState.ON
            with pytest.raises(DeviceRefused) as caught:
                await outlet.set_power(PowerVerb.OFF)
            assert "key" not in str(caught.value)
            assert "not-this-one" not in str(caught.value)

    plain = {name: f"http://plug/{name}" for name in ("on", "off", "state")}
    whole = {name: f"http://{user}plug/{name}?key=word" for name in plain}
    words: dict[str, object] = {"when_on": "yes", "when_off": "no"}
    for address, secret in ((words | plain, whole), (words | whole, {})):
        asked.clear()
        play(lambda address=address, secret=secret: story(address, secret))
        assert [str(request.url.copy_with(userinfo=b"")) for request in asked] == [
            "http://plug/state?key=word",
            "http://plug/off?key=word",
        ]
        assert all(("authorization" in request.headers) is bool(user) for request in asked)


@pytest.mark.parametrize(("status", "advice"), [(429, "raise its limit"), (408, "own log"), (503, "own log")])
def test_a_web_server_that_can_not_now_is_told_with_what_to_do(status: int, advice: str) -> None:
    async def story() -> PowerState:
        answers = httpx.MockTransport(lambda _: httpx.Response(status))
        async with httpx.AsyncClient(transport=answers) as client:
            address = {name: f"http://plug/{name}" for name in ("on", "off", "state")}
            address |= {"when_on": "1", "when_off": "0"}
            return await HttpDevices(client, discharge_s=1)("n1", address, {}).power_state()

    with pytest.raises(DeviceBusy, match=f"HTTP status {status}.*{advice}"):
        play(story)


def test_a_url_that_no_client_can_use_tells_nothing_of_its_login() -> None:
    async def story() -> PowerState:
        async with httpx.AsyncClient(trust_env=False) as client:
            url = "http://admin:1two/three@plug/state?key=word"
            address = {"on": url, "off": url, "state": url, "when_on": "1", "when_off": "0"}
            return await HttpDevices(client, discharge_s=1)("n1", address, {}).power_state()

    with pytest.raises(ProvisionerError, match="its URL can't be used") as caught:
        play(story)
    assert "1two" not in str(caught.value)


def test_a_web_server_that_is_not_there_is_unreachable(pdu: Pdu) -> None:
    pdu.kill()

    async def story() -> PowerState:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await HttpDevices(client, discharge_s=1)("n1", http_address(pdu), {}).power_state()

    with pytest.raises(DeviceUnreachable):
        play(story)

"""Outlet drivers against PDUs that misbehave as real ones do, and against what was written down wrongly."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from provisioner.core.errors import (
    DeviceRefused,
    DeviceUnreachable,
    InvalidInput,
    ProvisionerError,
    WrongCredentials,
)
from provisioner.core.outlets import told
from provisioner.core.states import PowerState
from provisioner.drivers import snmp_engines, snmp_queue
from provisioner.drivers.outlet_command import CommandDevices
from provisioner.drivers.outlet_http import HttpDevices
from provisioner.drivers.outlet_iboot import IbootDevices
from provisioner.drivers.snmp import LONGEST_COMMAND_S, SnmpDevices
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, PysnmpMessages
from provisioner.protocols.children import Argument, ChildResult
from provisioner.protocols.power import Feeds, PowerControl, PowerVerb
from provisioner.services.children import SystemChildren
from scenarios.runner.model.program import ModelProgram
from scenarios.runner.virtual_time import run
from tests.contract.drivers.modelled_bmc import InThisProcess
from tests.contract.drivers.outlets import by_feeds, http_address, programs, snmp_messages
from tests.contract.drivers.pdu import AUTH_KEY, KEYS, PASSWORD, PRIV_KEY, READ, V3, WRITE, Pdu, running_pdu

pytestmark = pytest.mark.wire
T = TypeVar("T")
DEADLINE_S = 60.0
SLOW_S = 20.0
"""What a slow machine may add to what takes as long as it takes."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def pdu(stack: ExitStack, tmp_path: Path) -> Pdu:
    return stack.enter_context(running_pdu(tmp_path))


def play(story: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await story()

    return asyncio.run(bounded())


def snmp(
    stack: ExitStack,
    pdu: Pdu,
    *outlets: int,
    secret: dict[str, str] | None = None,
    timeout_s: float = LONGEST_COMMAND_S,
    **more: Any,
) -> PowerControl:
    devices = SnmpDevices(snmp_messages(stack), discharge_s=1, timeout_s=timeout_s)
    address = {**pdu.address, "outlets": list(outlets or (1,)), **more}
    return devices("n1", address, {"community": WRITE} if secret is None else secret)


@pytest.mark.parametrize("version", ["1", "2c"])
def test_a_wrong_community_is_silence_and_the_message_says_so(
    stack: ExitStack, pdu: Pdu, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snmp_queue, "BEFORE_S", SLOW_S)
    secret = {"community": "wrong-word"}
    control = snmp(stack, pdu, secret=secret, version=version, timeout_s=SLOW_S + LONGEST_COMMAND_S)
    with pytest.raises(
        DeviceUnreachable, match=r"check the community: a wrong one is not answered"
    ) as caught:
        play(control.power_state)
    assert "PDU 127.0.0.1" in str(caught.value)
    assert "wrong-word" not in str(caught.value)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("version", ["1", "2c"])
def test_a_community_that_may_only_read_is_told(stack: ExitStack, pdu: Pdu, version: str) -> None:
    control = snmp(stack, pdu, secret={"community": READ}, version=version)
    assert play(control.power_state) is PowerState.ON
    with pytest.raises(DeviceRefused, match="read only"):
        play(lambda: control.set_power(PowerVerb.OFF))
    both = snmp(stack, pdu, secret={"community": READ, "write_community": WRITE}, version=version)
    play(lambda: both.set_power(PowerVerb.OFF))
    assert play(both.power_state) is PowerState.OFF


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ({"user": "nobody"}, {}),
        ({}, {"auth_key": "not-the-right-key"}),
        ({}, {"priv_key": "not-the-right-key"}),
        ({"auth_protocol": "SHA-256"}, {}),
    ],
)
def test_wrong_version_3_credentials_are_told_and_not_repeated(
    stack: ExitStack, pdu: Pdu, address: dict[str, str], secret: dict[str, str]
) -> None:
    control = snmp(stack, pdu, secret={**KEYS, **secret}, **{**V3, **address})
    with pytest.raises((WrongCredentials, DeviceUnreachable)) as caught:
        play(control.power_state)
    assert "priv_key" in str(caught.value)
    if "priv_key" not in secret:  # what can't be decrypted needn't be answered (RFC 3414 §3.2, 8)
        assert isinstance(caught.value, WrongCredentials)
        assert "Check user, auth_key, priv_key" in str(caught.value)
    for word in (AUTH_KEY, PRIV_KEY, "not-the-right-key"):
        assert word not in str(caught.value)


def test_silence_by_version_3_names_what_may_be_its_cause(stack: ExitStack, pdu: Pdu) -> None:
    """Agents that drop what they can't decrypt are as silent as one that isn't there."""
    pdu.kill()
    messages, agent = snmp_messages(stack), Agent("PDU 127.0.0.1", "127.0.0.1", pdu.port)
    credentials = Credentials(version="3", user=V3["user"], auth_key=AUTH_KEY, priv_key=PRIV_KEY)
    with pytest.raises(DeviceUnreachable, match="check priv_key and priv_protocol") as caught:
        play(lambda: messages.get("read it", agent, credentials, [(1, 3, 6)]))
    assert PRIV_KEY not in str(caught.value)


def of_one_user(stack: ExitStack, folder: Path, messages: PysnmpMessages) -> list[PowerControl]:
    """Outlets of two slow PDUs that have a user of the same name, each with keys of its own."""
    devices, controls = SnmpDevices(messages, discharge_s=1), []
    for name in ("a", "b"):
        keys = {"auth_key": f"{AUTH_KEY}-{name}", "priv_key": f"{PRIV_KEY}-{name}"}
        pdu = stack.enter_context(running_pdu(folder / name, name=f"pdu-{name}", snmp=keys))
        pdu.faults({"pdu.slow_queue": {"each_s": 0.1}})
        controls.append(devices("n1", {**pdu.address, **V3, "outlets": [1]}, keys))
    return controls


@pytest.mark.usefixtures("unhurried")
def test_pdus_may_have_one_user_with_keys_of_their_own(stack: ExitStack, tmp_path: Path) -> None:
    controls = of_one_user(stack, tmp_path, snmp_messages(stack))

    async def story() -> None:
        for _ in range(4):
            assert await asyncio.gather(*(one.power_state() for one in controls)) == [PowerState.ON] * 2
        await controls[0].set_power(PowerVerb.OFF)
        found = await asyncio.gather(*(one.power_state() for one in controls))
        assert found == [PowerState.OFF, PowerState.ON]

    play(story)


@pytest.mark.usefixtures("unhurried")
def test_users_beyond_those_that_are_remembered_are_served_and_their_sockets_closed(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snmp_engines, "MOST_ENGINES", 1)
    messages = snmp_messages(stack)
    controls = of_one_user(stack, tmp_path, messages)

    before = udp_sockets()

    async def only(count: int) -> None:
        while len(udp_sockets() - before) != count:
            await asyncio.sleep(0.01)

    async def story() -> None:
        for _ in range(2):
            assert await asyncio.gather(*(one.power_state() for one in controls)) == [PowerState.ON] * 2
            await only(1)
        messages.close()
        await only(0)

    play(story)


def udp_sockets() -> set[str]:
    """Of this process, by inode."""
    open_now = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one by which they were listed
            open_now.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    return open_now & {line.split()[9] for line in Path("/proc/net/udp").read_text().splitlines()[1:]}


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("version", ["1", "2c"])
def test_an_outlet_that_is_not_there_is_told(stack: ExitStack, pdu: Pdu, version: str) -> None:
    control = snmp(stack, pdu, 1, 30, version=version)
    with pytest.raises(DeviceRefused, match=r"Check power\.family, power\.outlets"):
        play(control.power_state)
    with pytest.raises(DeviceRefused, match=r"switch off outlet 30 on PDU 127\.0\.0\.1"):
        play(lambda: control.set_power(PowerVerb.OFF))


@pytest.mark.usefixtures("unhurried")
def test_a_pdu_of_another_family_is_told(stack: ExitStack, pdu: Pdu) -> None:
    with pytest.raises(DeviceRefused, match=r"Check power\.family"):
        play(snmp(stack, pdu, family="raritan_pdu2").power_state)


def test_each_call_to_a_dead_pdu_ends_by_itself(stack: ExitStack, pdu: Pdu) -> None:
    """To the moment, in virtual time: tests/unit/drivers/test_snmp.py."""
    pdu.kill()
    control = snmp(stack, pdu, 1, 2, 3, 4)
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        control.power_state,
        lambda: control.set_power(PowerVerb.ON),
    )
    for call in calls:
        began = time.monotonic()
        with pytest.raises(DeviceUnreachable, match="no answer"):
            play(call)
        assert time.monotonic() - began < control.longest_command_s + SLOW_S


def test_what_was_told_to_a_pdu_that_cannot_be_reached_is_not_done_later(stack: ExitStack, pdu: Pdu) -> None:
    pdu.faults({"pdu.unreachable": {}})
    with pytest.raises(DeviceUnreachable):
        play(lambda: snmp(stack, pdu).set_power(PowerVerb.OFF))
    pdu.faults({})
    assert play(snmp(stack, pdu).power_state) is PowerState.ON
    assert pdu.fed(1)
    assert "struck" in {entry.command for entry in pdu.received()}


@pytest.mark.usefixtures("unhurried")
def test_a_slow_pdu_is_waited_for_and_switches_all_in_its_turn(stack: ExitStack, pdu: Pdu) -> None:
    pdu.faults({"pdu.slow_queue": {"each_s": 0.2}})
    devices = SnmpDevices(snmp_messages(stack), discharge_s=1)
    controls = [
        devices("n1", {**pdu.address, "outlets": [outlet]}, {"community": WRITE}) for outlet in (1, 2, 3, 4)
    ]

    async def story() -> list[PowerState]:
        await asyncio.gather(*(control.set_power(PowerVerb.OFF) for control in controls))
        return await asyncio.gather(*(control.power_state() for control in controls))

    began = time.monotonic()
    assert play(story) == [PowerState.OFF] * 4
    assert time.monotonic() - began >= 4 * 0.2


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    ("family", "by_fault"),
    [
        *((family, False) for family in ("eatonpower", "aten", "vertivgeist_pdu", "servertech_sentry3")),
        ("eatonpower", True),
    ],
)
def test_an_outlet_on_its_way_is_neither_on_nor_off(
    stack: ExitStack, tmp_path: Path, family: str, by_fault: bool
) -> None:
    pdu = stack.enter_context(running_pdu(tmp_path, family, timing={"off_s": 0.0 if by_fault else 600.0}))
    if by_fault:
        pdu.faults({"pdu.pending": {"for_s": 600}})
    control = snmp(stack, pdu)
    play(lambda: control.set_power(PowerVerb.OFF))
    assert play(control.power_state) is PowerState.UNKNOWN
    assert isinstance(control, Feeds)
    assert told(control.last_seen()) == "outlet 1 pending"
    assert pdu.fed(1) is not by_fault, "with the fault it is off, and says that it isn't yet"


@pytest.mark.usefixtures("unhurried")
def test_a_welded_relay_is_on_and_half_off_is_told_as_such(stack: ExitStack, pdu: Pdu) -> None:
    pdu.faults({"pdu.outlet_stuck": {}}, node="n2")
    control = snmp(stack, pdu, 1, 2)
    play(lambda: control.set_power(PowerVerb.OFF))
    assert play(control.power_state) is PowerState.UNKNOWN
    assert isinstance(control, Feeds)
    assert told(control.last_seen()) == "outlet 1 off, outlet 2 on"
    assert (pdu.fed(1), pdu.fed(2)) == (False, True)


@pytest.mark.usefixtures("unhurried")
def test_a_pdu_that_restarts_is_asked_on_by_every_version(stack: ExitStack, pdu: Pdu) -> None:
    """RFC 3414 §2.2: its engine counts one start more, which those who asked it before have to learn."""
    by_v3 = snmp(stack, pdu, secret=KEYS, **V3)
    play(lambda: by_v3.set_power(PowerVerb.OFF))
    pdu.kill()
    pdu.start()
    assert play(snmp(stack, pdu).power_state) is PowerState.OFF

    async def asked_again() -> PowerState:
        while True:  # within its patience, which is above the driver
            try:
                return await by_v3.power_state()
            except DeviceUnreachable:
                continue

    assert play(asked_again) is PowerState.OFF
    assert not pdu.fed(1)


def test_another_pdu_at_the_address_of_one_is_asked_on_by_version_3(stack: ExitStack, tmp_path: Path) -> None:
    """A spare part: with the same user and keys, and an engine ID of its own."""
    old = stack.enter_context(running_pdu(tmp_path / "old"))
    by_v3 = snmp(stack, old, secret=KEYS, **V3)

    async def story() -> PowerState:
        assert await by_v3.power_state() is PowerState.ON
        old.kill()
        stack.enter_context(running_pdu(tmp_path / "new", name="spare", snmp={"port": old.port}))
        began = time.monotonic()
        while True:  # within its patience, which is above the driver
            try:
                return await by_v3.power_state()
            except DeviceUnreachable:
                assert time.monotonic() - began < 200

    assert play(story) is PowerState.ON


@pytest.mark.usefixtures("unhurried")
def test_two_pdus_that_disagree_are_half_off(stack: ExitStack, tmp_path: Path) -> None:
    control = by_feeds(stack, tmp_path)
    fault = tmp_path / "b" / "n1.json"
    fault.write_text('{"pdu.outlet_stuck": {}}')
    play(lambda: control.set_power(PowerVerb.OFF))
    assert play(control.power_state) is PowerState.UNKNOWN
    assert isinstance(control, Feeds)
    assert told(control.last_seen()) == "feed A outlet 1 off, feed B outlet on"


def test_of_two_feeds_each_is_told_though_one_fails(stack: ExitStack, tmp_path: Path) -> None:
    control = by_feeds(stack, tmp_path)
    (tmp_path / "a" / "n1.json").write_text('{"pdu.unreachable": {}}')
    with pytest.raises(DeviceUnreachable, match=r"PDU 127\.0\.0\.1"):
        play(lambda: control.set_power(PowerVerb.OFF))
    (tmp_path / "a" / "n1.json").unlink()
    assert play(control.power_state) is PowerState.UNKNOWN


@pytest.mark.usefixtures("unhurried")
def test_an_iboot_hangs_up_on_a_wrong_password(stack: ExitStack, tmp_path: Path) -> None:
    pdu = stack.enter_context(running_pdu(tmp_path, "iboot", outlets=1))
    address = {"address": "127.0.0.1", "port": pdu.http_port}
    control = IbootDevices(discharge_s=1)("n1", address, {"password": "not-this-one"})
    with pytest.raises(WrongCredentials, match=r"Check power\.password") as caught:
        play(control.power_state)
    assert "not-this-one" not in str(caught.value)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("pieces", [(b"O", b"FF\r\n"), (b"O", b"F", b"F"), (b"OFF",), (b"\r\n", b"OFF\r\n")])
def test_an_iboots_word_may_come_in_pieces_and_without_an_end(pieces: tuple[bytes, ...]) -> None:
    hung_up = asyncio.Event()

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        await hung_up.wait()
        writer.close()

    async def story() -> PowerState:
        async with await asyncio.start_server(told, "127.0.0.1", 0) as server:
            address = {"address": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
            control = IbootDevices(discharge_s=1)("n1", address, {"password": PASSWORD})
            try:
                await control.set_power(PowerVerb.OFF)
                return await control.power_state()
            finally:
                hung_up.set()

    assert play(story) is PowerState.OFF


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


COMMAND_S = 4.0
NODES = Path(__file__).resolve().parents[3] / "docs/nodes.md"
CLASSIC = f"""#!/bin/sh
at=$1 object=.1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.$2
case $3 in
  on) snmpset -v2c -c {WRITE} -Oqv "$at" "$object" i 1 ;;
  off) snmpset -v2c -c {WRITE} -Oqv "$at" "$object" i 2 ;;
  *) echo "usage: pdu_mgr ADDRESS OUTLET on|off|reboot" >&2; exit 1 ;;
esac
"""


def test_the_wrapper_of_the_manual_makes_a_classic_pdu_mgr_one_that_tells_states(
    pdu: Pdu, tmp_path: Path
) -> None:
    (text,) = (part for part in NODES.read_text().split("```sh\n")[1:] if "pdu_mgr" in part)
    classic, wrapper = tmp_path / "pdu_mgr", tmp_path / "wrapper"
    classic.write_text(CLASSIC)
    script = text.partition("```")[0].replace("/usr/local/sbin/pdu_mgr", str(classic))
    assert str(classic) in script
    # Its snmp.conf lies here, not in /etc/snmp.
    wrapper.write_text(script.replace("\n", f"\nexport SNMPCONFPATH={tmp_path}\n", 1))
    for program in (classic, wrapper):
        program.chmod(0o755)
    (tmp_path / "snmp.conf").write_text(f"defVersion 2c\ndefCommunity {READ}\n")
    address = {"command": "wrapper", "address": f"127.0.0.1:{pdu.port}", "outlets": [2]}
    devices = CommandDevices(SystemChildren(), {"wrapper": wrapper}, discharge_s=1, timeout_s=45)
    control = devices("n1", address, {})
    assert play(control.power_state) is PowerState.ON
    for verb, state in ((PowerVerb.OFF, PowerState.OFF), (PowerVerb.ON, PowerState.ON)):
        play(lambda verb=verb: control.set_power(verb))
        assert play(control.power_state) is state
        assert pdu.fed(2) is (state is PowerState.ON)
    pdu.kill()
    with pytest.raises(DeviceUnreachable):
        play(control.power_state)


def command(folder: Path, script: str, timeout_s: float = 45) -> PowerControl:
    program = folder / "switch"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    devices = CommandDevices(SystemChildren(), {"switch": program}, discharge_s=1, timeout_s=timeout_s)
    return devices("n1", {"command": "switch", "address": "pdu1", "outlets": [3]}, {})


class SlowProgram(ModelProgram):
    """Takes three fifths of a command's time."""

    name = "switch"

    async def _run(self, argv: Sequence[Argument]) -> ChildResult:
        await asyncio.sleep(0.6 * COMMAND_S)
        return ChildResult(0, "on\n", "")


def test_a_program_that_is_too_slow_for_all_outlets_is_told_as_such() -> None:
    """By hand, for one of them, it is quick enough."""
    program = {"switch": Path("switch")}
    devices = CommandDevices(SlowProgram(InThisProcess()), program, discharge_s=1, timeout_s=COMMAND_S)
    address = {"command": "switch", "address": "pdu1"}
    one, both = (devices("n1", {**address, "outlets": outlets}, {}) for outlets in ([3], [3, 4]))

    async def story() -> float:
        assert await one.power_state() is PowerState.ON
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(
            DeviceUnreachable, match=r"power\.command_timeout_s .* for all 2 outlets of the node"
        ):
            await both.power_state()
        return asyncio.get_running_loop().time() - began_s

    assert run(story(), 0) < COMMAND_S


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("echo 'no such PDU' >&2; exit 1", DeviceUnreachable, "no such PDU"),
        ("echo 'login failed' >&2; exit 77", WrongCredentials, "login failed"),
        ("echo 'pdu1 has no outlet 3' >&2; exit 64", DeviceRefused, "pdu1 has no outlet 3"),
    ],
)
def test_a_program_that_fails_is_told_by_its_last_words(
    tmp_path: Path, script: str, error: type[ProvisionerError], said: str
) -> None:
    with pytest.raises(error, match=f"read the state of outlet 3 on PDU pdu1 by switch: {said}"):
        play(command(tmp_path, script).power_state)


@pytest.mark.parametrize(
    ("says", "state"),
    [("outlet 3 is ON", PowerState.ON), ("off", PowerState.OFF), ("?", PowerState.UNKNOWN)],
)
def test_a_programs_last_word_is_the_state(tmp_path: Path, says: str, state: PowerState) -> None:
    assert play(command(tmp_path, f"echo '{says}'").power_state) is state


def test_a_program_that_hangs_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid = ""
    for timeout_s in (1.0, 5.0, 25.0):
        control = command(tmp_path, f"echo $$ > {pid_file}; sleep 600", timeout_s=timeout_s)
        with pytest.raises(DeviceUnreachable, match=f"not done in {timeout_s:g} s"):
            play(lambda control=control: control.set_power(PowerVerb.ON))
        if pid := pid_file.read_text() if pid_file.exists() else "":
            break  # else its time was up before it had begun
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_program_dies_with_whoever_asked(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    control = command(tmp_path, f"echo $$ > {pid_file}; sleep 600")

    async def story() -> None:
        asked = asyncio.ensure_future(control.set_power(PowerVerb.ON))
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.01)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked

    play(story)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_only_programs_that_the_host_names_are_run(tmp_path: Path) -> None:
    devices = CommandDevices(SystemChildren(), programs(tmp_path), discharge_s=1, timeout_s=4)
    with pytest.raises(InvalidInput, match=r"no command 'reboot'.*power\.commands"):
        devices("n1", {"command": "reboot", "address": "pdu1", "outlets": [1]}, {})

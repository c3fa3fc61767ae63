"""Secrets of PDUs with SNMP: words and keys that are wrong, and users of one name at several."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceRefused, DeviceUnreachable, WrongCredentials
from provisioner.core.states import PowerState
from provisioner.drivers import snmp_engines, snmp_queue
from provisioner.drivers.snmp import LONGEST_COMMAND_S, SnmpDevices
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, PysnmpMessages
from provisioner.protocols.power import PowerControl, PowerVerb
from tests.contract.drivers.outlets import SLOW_S, snmp, snmp_messages
from tests.contract.drivers.pdu import AUTH_KEY, KEYS, PRIV_KEY, READ, V3, WRITE, Pdu, running_pdu
from tests.wire.services.conftest import play

pytestmark = pytest.mark.wire


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

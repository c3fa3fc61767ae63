"""Outlets by SNMP, of PDUs that misbehave as real ones do: each family, dead, slow, restarted, welded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceRefused, DeviceUnreachable
from provisioner.core.outlets import told
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpDevices
from provisioner.protocols.power import Feeds, PowerVerb
from tests.contract.drivers.outlets import SLOW_S, snmp, snmp_messages
from tests.contract.drivers.pdu import KEYS, V3, WRITE, Pdu, running_pdu
from tests.wire.services.conftest import play

pytestmark = pytest.mark.wire
LONGEST_S = 300.0
"""Of a PDU that has been slow for once, an answer is waited for the longer, and then the next one."""


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("version", ["1", "2c"])
def test_an_outlet_that_is_not_there_is_told(stack: ExitStack, pdu: Pdu, version: str) -> None:
    control = snmp(stack, pdu, 1, 30, version=version)
    with pytest.raises(DeviceRefused, match=r"Check power\.family, power\.outlets"):
        play(control.power_state)
    with pytest.raises(DeviceRefused, match=r"switch off outlet 30 on PDU 127\.0\.0\.1"):
        play(lambda: control.set_power(PowerVerb.OFF))


@pytest.mark.usefixtures("unhurried")
def test_an_outlet_that_its_pdu_has_a_word_for_not_having_is_told(stack: ExitStack, tmp_path: Path) -> None:
    pdu = stack.enter_context(running_pdu(tmp_path, "aten"))
    with pytest.raises(
        DeviceRefused, match=r"it has no outlet 30 \(7\)\. Check power\.family, power\.outlets"
    ):
        play(snmp(stack, pdu, 1, 30).power_state)
    with pytest.raises(DeviceRefused, match=r"switch off outlet 30 on PDU 127\.0\.0\.1"):
        play(lambda: snmp(stack, pdu, 30).set_power(PowerVerb.OFF))


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


def test_what_was_told_to_a_pdu_that_cannot_be_reached_is_not_done_later(
    stack: ExitStack, pdu: Pdu, request: pytest.FixtureRequest
) -> None:
    pdu.faults({"pdu.unreachable": {}})
    with pytest.raises(DeviceUnreachable):
        play(lambda: snmp(stack, pdu).set_power(PowerVerb.OFF))
    pdu.faults({})
    request.getfixturevalue("unhurried")
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
        *((name, False) for name, family in FAMILIES.items() if family.pending and name != "baytech_mrp27"),
        ("eatonpower", True),
    ],
)
def test_an_outlet_on_its_way_is_neither_on_nor_off(
    stack: ExitStack, tmp_path: Path, family: str, by_fault: bool
) -> None:
    """But for Baytech's, which says so of an outlet that it reboots alone."""
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

    async def asked_on() -> PowerState:
        while True:  # within its patience, which is above the driver
            with suppress(DeviceUnreachable):
                return await by_v3.power_state()

    async def story() -> None:
        async with asyncio.timeout(LONGEST_S):
            assert await asked_on() is PowerState.ON
            old.kill()
            stack.enter_context(running_pdu(tmp_path / "new", name="spare", snmp={"port": old.port}))
            assert await asked_on() is PowerState.ON

    asyncio.run(story())

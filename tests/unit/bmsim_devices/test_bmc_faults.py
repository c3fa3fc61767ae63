"""Faults strike when they should, as often as they should, and not after they are healed."""

from __future__ import annotations

from typing import Any

import pytest

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act
from bmsim.devices.bmc_faults import BmcFaults
from bmsim.devices.boot_flags import BootDevice
from bmsim.faults.catalogue import completed
from bmsim.faults.fault import BadFault

ON, STATUS, BOOTDEV = "chassis.power.on", "chassis.status", "chassis.bootdev.set"


def having(name: str, **given: Any) -> BmcFaults:
    faults = BmcFaults()
    faults.update({name: completed(name, given)}, 0.0)
    return faults


def test_a_well_bmc_has_no_faults() -> None:
    faults = BmcFaults()
    assert not faults.silent(0.0)
    assert faults.refusal(ON, 0.0) == ipmi.OK
    assert not faults.swallows(ON, 0.0)
    assert not faults.other_password()
    assert not faults.no_free_session()
    assert faults.told_power(True, 0.0)


def test_silence_ends_after_its_time() -> None:
    faults = having("bmc.silent", for_s=10)
    assert faults.silent(9.9)
    assert not faults.silent(10.0)


def test_silence_without_a_time_ends_by_healing() -> None:
    faults = having("bmc.silent")
    assert faults.silent(1e6)
    faults.update({}, 1e6)
    assert not faults.silent(1e6)


def test_busy_strikes_the_commands_it_was_given_as_often_as_it_was_told() -> None:
    faults = having("bmc.busy", for_commands=[ON], count=2)
    assert [faults.refusal(name, 0.0) for name in (STATUS, ON, ON, ON)] == [
        ipmi.OK,
        ipmi.NODE_BUSY,
        ipmi.NODE_BUSY,
        ipmi.OK,
    ]


def test_busy_alone_strikes_what_changes_something() -> None:
    faults = having("bmc.busy")
    assert faults.refusal(BOOTDEV, 0.0) == ipmi.NODE_BUSY
    assert faults.refusal(STATUS, 0.0) == ipmi.OK


def test_busy_after_a_power_off_lasts_so_long() -> None:
    faults = having("bmc.busy", after_power_off_s=60)
    assert faults.refusal(ON, 5.0) == ipmi.OK
    faults.done(Act.OFF, 10.0)
    assert faults.refusal(ON, 69.9) == ipmi.NODE_BUSY
    assert faults.refusal(ON, 70.0) == ipmi.OK


def test_busy_when_reached_strikes_as_often_as_it_was_told() -> None:
    faults = having("bmc.busy_when_reached", count=1)
    assert faults.refusal(ON, 0.0) == ipmi.OK
    assert [faults.busy_when_reached(), faults.busy_when_reached()] == [True, False]
    assert faults.struck == {"bmc.busy_when_reached": 1}


def test_a_fault_that_stays_keeps_its_count_when_another_one_comes() -> None:
    faults = having("bmc.ack_not_done", count=1)
    assert faults.swallows(ON, 0.0)
    still = completed("bmc.ack_not_done", {"count": 1})
    faults.update({"bmc.ack_not_done": still, "bmc.silent": completed("bmc.silent", {})}, 1.0)
    assert not faults.swallows(ON, 2.0)


def test_a_fault_that_was_healed_and_comes_back_starts_anew() -> None:
    faults = having("bmc.ack_not_done", count=1)
    assert faults.swallows(ON, 0.0)
    faults.update({}, 1.0)
    faults.update({"bmc.ack_not_done": completed("bmc.ack_not_done", {"count": 1})}, 2.0)
    assert faults.swallows(ON, 2.0)


def test_a_power_on_is_swallowed_only_while_the_machine_goes_down() -> None:
    faults = having("bmc.swallowed_in_transition", window_s=5)
    assert not faults.swallows(ON, 0.0)
    faults.done(Act.SHUT_DOWN, 10.0)
    assert faults.swallows(ON, 14.9)
    assert not faults.swallows("chassis.power.off", 14.9)
    assert not faults.swallows(ON, 15.0)


def test_the_boot_device_is_refused_until_post_ends() -> None:
    faults = having("bmc.boot_device_refused_during_post", post_s=30)
    assert faults.refusal(BOOTDEV, 0.0) == ipmi.OK
    faults.done(Act.ON, 0.0)
    assert faults.refusal(BOOTDEV, 29.9) == ipmi.NOT_IN_THIS_STATE
    assert faults.refusal(BOOTDEV, 30.0) == ipmi.OK


@pytest.mark.parametrize(("says_on", "told"), [(None, (False, True)), (True, (True, True))])
def test_a_lie_about_power(says_on: bool | None, told: tuple[bool, bool]) -> None:
    faults = having("bmc.lies_about_power", says_on=says_on, for_s=5)
    assert (faults.told_power(True, 0.0), faults.told_power(False, 0.0)) == told
    assert faults.told_power(True, 5.0)


def test_a_cold_reset_happens_once_and_is_over_by_itself() -> None:
    faults = BmcFaults()
    given = {"bmc.cold_reset": completed("bmc.cold_reset", {"silent_s": 20})}
    assert faults.update(given, 100.0)
    assert not faults.update(given, 101.0)
    assert faults.silent(119.9)
    assert not faults.silent(120.0)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("bmc.tired", {}, "there is no fault bmc.tired; there are: bmc.silent"),
        ("bmc.silent", {"for": 3}, "bmc.silent has no parameter for; it has for_s"),
        ("bmc.busy", {"count": "3"}, "count is '3'; it must be a whole number"),
        ("bmc.busy", {"count": True}, "count is True; it must be a whole number"),
        ("bmc.lies_about_power", {"says_on": 1}, "says_on is 1; it must be yes or no"),
        ("bmc.cold_reset", {"silent_s": None}, "silent_s is None"),
    ],
)
def test_a_fault_that_cant_be_is_refused_with_what_can(name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadFault, match=said):
        completed(name, given)


def test_each_strike_is_counted_and_nothing_else() -> None:
    faults = having("bmc.busy", count=2)
    assert faults.struck == {}
    for _ in range(4):
        faults.refusal(STATUS, 0.0)
        faults.refusal(ON, 0.0)
    assert faults.struck == {"bmc.busy": 2}


def test_a_machine_that_ignores_its_flags_is_said_to_at_each_start() -> None:
    faults = having("boot.ignores_flag")
    assert faults.always_netboots()
    for act in (Act.ON, Act.OFF, Act.CYCLE):
        faults.done(act, 0.0)
    assert faults.struck == {"boot.ignores_flag": 2}
    faults.update({}, 1.0)
    assert not faults.always_netboots()


def test_what_a_machine_does_anyway_is_no_strike() -> None:
    faults = having("bmc.boot_device_forgotten", count=2)
    assert faults.forgets_boot_device(own=True)
    assert faults.struck == {}
    assert faults.forgets_boot_device(own=False)
    assert faults.struck == {"bmc.boot_device_forgotten": 1}
    faults = having("boot.ignores_flag")
    faults.done(Act.ON, 0.0, BootDevice.NETWORK)
    assert faults.struck == {}


def test_a_machine_that_is_off_is_in_no_post() -> None:
    faults = having("bmc.boot_device_refused_during_post", post_s=60)
    faults.done(Act.ON, 0.0)
    assert faults.refusal(BOOTDEV, 1.0) == ipmi.NOT_IN_THIS_STATE
    faults.done(Act.OFF, 2.0)
    assert faults.refusal(BOOTDEV, 3.0) == ipmi.OK

"""The model of a PDU: commands and their delays, mains that come and go, faults."""

from __future__ import annotations

from typing import Any

import pytest

from bmsim.devices.pdu import NoMains, NoOutlet, Order, Pdu, PduTiming, Restore, Switched, Told
from bmsim.faults.catalogue import completed


def pdu(*closed: bool, **timing: float) -> Pdu:
    made = Pdu(dict(enumerate(closed, 1)), timing=PduTiming(**timing))
    made.update(0.0)
    return made


def fault(device: Pdu, name: str, outlet: int = 1, **parameters: Any) -> None:
    device.give_faults([(name, outlet, completed(name, parameters))])


def test_what_is_on_at_first_feeds_at_first() -> None:
    made = Pdu({1: True, 2: False})
    assert made.update(0.0).outputs == (Switched(1, True),)


def test_a_relay_takes_its_time_and_is_pending_meanwhile() -> None:
    device = pdu(True, off_s=2.0)
    device.order(1, Order.OFF, 10.0)
    update = device.update(10.0)
    assert (update.outputs, update.wake_at_s) == ((), 12.0)
    assert device.told(1, 11.0) is Told.PENDING_OFF
    assert device.update(12.0).outputs == (Switched(1, False),)
    assert device.told(1, 12.0) is Told.OFF


def test_a_later_command_replaces_what_was_not_done() -> None:
    device = pdu(True)
    device.order(1, Order.OFF, 0.0, delay_s=30.0)
    device.order(1, Order.ON, 1.0)
    assert device.update(60.0).outputs == ()
    assert device.told(1, 60.0) is Told.ON


def test_a_reboot_is_off_for_a_while() -> None:
    device = pdu(True, reboot_s=5.0)
    device.order(1, Order.REBOOT, 0.0)
    assert device.update(0.0).outputs == (Switched(1, False),)
    assert device.update(4.9).outputs == ()
    assert device.update(5.0).outputs == (Switched(1, True),)


@pytest.mark.parametrize(
    ("restore", "fed"), [(Restore.LAST, [1]), (Restore.ON, [1, 2, 3]), (Restore.OFF, [])]
)
def test_after_a_loss_of_mains_outlets_come_back_as_they_were_told(restore: Restore, fed: list[int]) -> None:
    device = Pdu({1: True, 2: False, 3: False}, restore=restore)
    device.update(0.0)
    device.switch_mains(False, 1.0)
    assert device.update(1.0).outputs == (Switched(1, False),)
    assert not device.fed(1)
    device.switch_mains(True, 9.0)
    assert [switched.outlet for switched in device.update(9.0).outputs] == fed


def test_outlets_come_back_one_after_the_other() -> None:
    device = Pdu({1: True, 2: True, 3: True}, timing=PduTiming(sequence_s=2.0))
    device.update(0.0)
    device.switch_mains(False, 1.0)
    device.update(1.0)
    device.switch_mains(True, 10.0)
    seen = [[switched.outlet for switched in device.update(now_s).outputs] for now_s in (10.0, 12.0, 14.0)]
    assert seen == [[1], [2], [3]]


def test_mains_that_go_again_before_all_outlets_are_back_change_nothing_of_what_comes_back() -> None:
    device = Pdu({1: True, 2: True, 3: False, 4: True}, timing=PduTiming(sequence_s=2.0))
    device.update(0.0)
    for now_s in (1.0, 20.0):
        device.switch_mains(False, now_s)
        device.update(now_s)
        device.switch_mains(True, now_s + 1.0)
        device.update(now_s + 1.0)
        device.update(now_s + 3.0)  # and outlet 4 is not on yet
        assert device.relays() == {1: True, 2: True, 3: False, 4: True}, "nor is that lost with its process"
        device.switch_mains(False, now_s + 4.0)
        device.update(now_s + 4.0)
        device.switch_mains(True, now_s + 5.0)
        device.update(now_s + 15.0)
        assert [device.fed(outlet) for outlet in device.numbers] == [True, True, False, True]


def test_an_outlet_that_is_switched_off_while_it_waits_for_its_turn_stays_off() -> None:
    device = Pdu({1: True, 2: True}, timing=PduTiming(sequence_s=2.0))
    device.update(0.0)
    device.switch_mains(False, 1.0)
    device.switch_mains(True, 2.0)
    device.order(2, Order.OFF, 3.0)
    device.update(3.0)
    device.switch_mains(False, 4.0)
    device.switch_mains(True, 5.0)
    device.update(15.0)
    assert [device.fed(1), device.fed(2)] == [True, False]


def test_what_was_commanded_is_lost_with_the_mains() -> None:
    device = pdu(True)
    device.order(1, Order.OFF, 0.0, delay_s=10.0)
    device.switch_mains(False, 1.0)
    device.switch_mains(True, 2.0)
    assert device.update(60.0).outputs == ()
    assert device.fed(1)


def test_no_relay_moves_without_mains() -> None:
    device = pdu(True)
    device.switch_mains(False, 1.0)
    with pytest.raises(NoMains):
        device.order(1, Order.OFF, 2.0)
    device.switch_mains(True, 3.0)
    device.update(3.0)
    assert device.fed(1)


def test_load_and_current_are_those_of_what_is_fed() -> None:
    device = Pdu({1: True, 2: True}, watts={1: 460.0})
    device.update(0.0)
    assert (device.watts(1), device.milliamps(1), device.milliamps(2)) == (460.0, 2000, 0)
    device.order(1, Order.OFF, 0.0)
    device.update(0.0)
    assert device.milliamps(1) == 0


def test_a_pdu_has_no_outlets_but_its_own() -> None:
    for number in (0, 3, -1):
        with pytest.raises(NoOutlet, match=f"there is no outlet {number}; there are 2"):
            pdu(True, True).order(number, Order.ON, 0.0)


def test_a_welded_relay_stays_and_is_told_as_it_is() -> None:
    device = pdu(True)
    fault(device, "pdu.outlet_stuck")
    device.order(1, Order.OFF, 0.0)
    assert device.update(0.0).outputs == ()
    assert device.told(1, 0.0) is Told.ON
    assert device.faults.struck == {("pdu.outlet_stuck", 1): 1}


def test_a_pdu_that_cannot_feel_its_relays_tells_what_it_commanded() -> None:
    device = pdu(True)
    fault(device, "pdu.outlet_stuck", tells_command=True)
    device.order(1, Order.OFF, 0.0)
    device.update(0.0)
    assert device.told(1, 0.0) is Told.OFF
    assert device.fed(1)


@pytest.mark.parametrize("restore", list(Restore))
def test_a_welded_relay_gives_what_mains_there_are(restore: Restore) -> None:
    device = Pdu({1: False, 2: True}, timing=PduTiming(sequence_s=5.0), restore=restore)
    device.update(0.0)
    fault(device, "pdu.outlet_stuck", outlet=2)
    device.switch_mains(False, 1.0)
    assert device.update(1.0).outputs == (Switched(2, False),), "it has none to pass on"
    device.switch_mains(True, 2.0)
    assert device.update(2.0).outputs[-1] == Switched(2, True), "nobody has closed it"
    assert device.relays()[2]
    device.update(60.0)
    assert (device.fed(2), device.told(2, 60.0)) == (True, Told.ON)


def test_a_welded_relay_that_was_told_off_goes_off_with_the_mains_when_it_is_mended_meanwhile() -> None:
    device = pdu(True)
    fault(device, "pdu.outlet_stuck", tells_command=True)
    device.order(1, Order.OFF, 1.0)
    device.update(1.0)
    assert device.relays() == {1: True}
    for now_s, fed in ((2.0, True), (4.0, False)):
        device.switch_mains(False, now_s)
        device.update(now_s)
        if not fed:
            device.give_faults(())
        device.switch_mains(True, now_s + 1.0)
        device.update(now_s + 1.0)
        assert (device.fed(1), device.told(1, now_s + 1.0)) == (fed, Told.OFF)


@pytest.mark.parametrize("restore", list(Restore))
def test_a_relay_that_is_stuck_open_stays_so_with_mains_that_come_back(restore: Restore) -> None:
    device = Pdu({1: False}, restore=restore)
    fault(device, "pdu.outlet_stuck")
    device.order(1, Order.ON, 0.0)
    device.update(0.0)
    device.switch_mains(False, 1.0)
    device.switch_mains(True, 2.0)
    assert device.update(2.0).outputs == ()
    assert device.relays() == {1: False}


def test_a_relay_that_welds_while_mains_are_away_is_open_by_then() -> None:
    device = Pdu({1: True}, restore=Restore.OFF)
    device.update(0.0)
    device.switch_mains(False, 1.0)
    fault(device, "pdu.outlet_stuck")
    device.switch_mains(True, 2.0)
    device.update(2.0)
    assert not device.fed(1)


def test_half_off_holds_nothing_against_a_loss_of_mains() -> None:
    device = Pdu({1: True}, restore=Restore.OFF)
    device.update(0.0)
    fault(device, "pdu.half_off")
    device.switch_mains(False, 1.0)
    device.switch_mains(True, 2.0)
    device.update(2.0)
    assert (device.fed(1), device.faults.struck) == (False, {})


def test_half_off_holds_against_off_alone() -> None:
    device = pdu(True)
    fault(device, "pdu.half_off")
    device.order(1, Order.OFF, 0.0)
    assert device.update(0.0).outputs == ()
    device.give_faults(())
    device.order(1, Order.OFF, 1.0)
    assert device.update(1.0).outputs == (Switched(1, False),)


def test_a_state_may_be_told_as_pending_after_it_was_reached() -> None:
    device = pdu(True)
    fault(device, "pdu.pending", for_s=10)
    device.order(1, Order.OFF, 5.0)
    assert device.update(5.0).outputs == (Switched(1, False),)
    assert device.told(1, 14.9) is Told.PENDING_OFF
    assert device.told(1, 15.0) is Told.OFF


def test_what_was_reached_before_is_not_pending_again() -> None:
    device = pdu(False)
    device.order(1, Order.ON, 5.0)
    device.update(5.0)
    fault(device, "pdu.pending", for_s=10)
    assert device.told(1, 6.0) is Told.ON
    device.order(1, Order.OFF, 7.0)
    device.update(7.0)
    assert device.told(1, 8.0) is Told.PENDING_OFF


def test_a_slow_queue_and_silence_are_the_whole_pdus() -> None:
    device = pdu(True, True)
    assert (device.faults.each_s(), device.faults.unreachable()) == (0.0, False)
    fault(device, "pdu.slow_queue", outlet=2, each_s=3)
    assert device.faults.each_s() == 3.0
    fault(device, "pdu.unreachable", outlet=2)
    assert device.faults.unreachable()

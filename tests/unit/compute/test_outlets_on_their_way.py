"""Outlets that say for a while that they are on their way: a command that they are given then begins anew."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from bmsim.devices.pdu import Order, Pdu, PduTiming, Told
from bmsim.faults.catalogue import completed
from provisioner.compute.devices import Device, PowerPolicy, PowerSequencer
from provisioner.compute.lease import LeaseKeeper
from provisioner.core.errors import TransientError
from provisioner.core.outlets import OutletState, Seen, together
from provisioner.core.states import PowerState
from provisioner.protocols.power import PowerVerb
from provisioner.store.memory import MemoryStore
from tests.unit.fakes import JumpingClock

SLOW_S = 15.0
"""Longer than a command without effect waits to be sent again."""

STATES = {Told.ON: OutletState.ON, Told.OFF: OutletState.OFF}
WITHOUT_A_WORD = {Told.PENDING_ON: OutletState.OFF, Told.PENDING_OFF: OutletState.ON}


class Outlets:
    """All that the PDU has. tells_way: whether it has a word for an outlet on its way; else it tells where
    that comes from. told: each command, and when."""

    longest_command_s = 1.0
    discharge_s = 0.0

    def __init__(self, clock: JumpingClock, pdu: Pdu, *, tells_way: bool) -> None:
        self._clock = clock
        self._pdu = pdu
        self._states = STATES if tells_way else STATES | WITHOUT_A_WORD
        self._last: dict[str, Seen] = {}
        self.told: list[tuple[float, str]] = []

    def last_seen(self) -> dict[str, Seen]:
        return self._last

    async def power_state(self) -> PowerState:
        now_s = self._clock.now_s
        self._pdu.update(now_s)
        self._last = {
            f"outlet {outlet}": Seen(self._states.get(self._pdu.told(outlet, now_s), OutletState.PENDING))
            for outlet in self._pdu.numbers
        }
        return together(seen.state for seen in self._last.values())

    async def set_power(self, verb: PowerVerb) -> None:
        self.told.append((self._clock.now_s, str(verb)))
        for outlet in self._pdu.numbers:
            self._pdu.order(outlet, Order(verb), self._clock.now_s)


@dataclass(frozen=True, slots=True)
class Ending:
    """changed: what `ensure` returned. told: commands, and when. at_s: when it had ended."""

    changed: bool | TransientError
    told: list[tuple[float, str]]
    at_s: float


def ensured(pdu: Pdu, wanted: PowerState, *, tells_way: bool = True) -> Ending:
    async def run() -> Ending:
        clock = JumpingClock()
        outlets = Outlets(clock, pdu, tells_way=tells_way)
        lease = LeaseKeeper(MemoryStore(clock.wall), clock, "ch1", 1e9, holder="ch1")
        await lease.acquire()
        power = PowerSequencer(lease, clock, PowerPolicy())
        changed: bool | TransientError
        try:
            changed = await power.ensure(Device("PDU of n1", outlets), wanted)
        except TransientError as error:
            changed = error
        return Ending(changed, outlets.told, clock.now_s)

    return asyncio.run(run())


def slow(*outlets: int, switch_s: float = SLOW_S) -> Pdu:
    return Pdu(dict.fromkeys(outlets or (1,), True), timing=PduTiming(on_s=switch_s, off_s=switch_s))


def test_an_outlet_on_its_way_is_not_told_again() -> None:
    assert ensured(slow(), PowerState.OFF) == Ending(True, [(0.0, "off")], SLOW_S)


def test_an_outlet_that_has_no_word_for_its_way_is_told_again_ever_later() -> None:
    assert ensured(slow(), PowerState.OFF, tells_way=False) == Ending(
        True, [(0.0, "off"), (10.0, "off")], 25.0
    )


def test_an_outlet_that_is_found_on_its_way_is_waited_for() -> None:
    pdu = slow()
    pdu.order(1, Order.OFF, 0.0)
    assert ensured(pdu, PowerState.OFF) == Ending(True, [], SLOW_S)


def test_an_outlet_on_its_way_to_where_it_should_not_be_arrives_before_it_is_told_better() -> None:
    pdu = slow()
    pdu.order(1, Order.OFF, 0.0)
    assert ensured(pdu, PowerState.ON) == Ending(True, [(SLOW_S, "on")], 2 * SLOW_S)


def test_what_an_outlet_became_when_the_time_was_up_counts() -> None:
    longest_s = PowerPolicy().confirm_s
    assert ensured(slow(switch_s=longest_s), PowerState.OFF) == Ending(True, [(0.0, "off")], longest_s)


def test_an_outlet_that_never_arrives_is_told_as_such() -> None:
    ending = ensured(slow(switch_s=1000.0), PowerState.OFF)
    assert isinstance(ending.changed, TransientError)
    assert ending.changed.answer == "acknowledged, but not off after 60 s (outlet 1 pending)"
    assert "deploy.power_confirm_s" in ending.changed.advice
    assert ending.told == [(0.0, "off")]


def test_an_outlet_that_stays_as_it_is_sends_nobody_to_a_bmc() -> None:
    pdu = slow(switch_s=0.0)
    pdu.give_faults([("pdu.outlet_stuck", 1, completed("pdu.outlet_stuck", {}))])
    ending = ensured(pdu, PowerState.OFF)
    assert isinstance(ending.changed, TransientError)
    assert ending.changed.answer == "acknowledged, but not off after 60 s (outlet 1 on)"
    assert ending.changed.advice.startswith("Look at the outlet")


def test_an_outlet_that_is_found_on_its_way_for_ever_is_told_all_the_same() -> None:
    pdu = slow(switch_s=1000.0)
    pdu.order(1, Order.OFF, 0.0)
    ending = ensured(pdu, PowerState.OFF)
    assert isinstance(ending.changed, TransientError)
    assert (ending.told, ending.at_s) == ([(60.0, "off")], 120.0)


def test_an_outlet_that_did_not_hear_its_command_is_told_again_though_another_is_on_its_way() -> None:
    pdu = slow(1, 2, switch_s=0.0)
    pdu.give_faults([("pdu.pending", 1, {"for_s": 30}), ("pdu.outlet_stuck", 2, {"tells_command": False})])
    ending = ensured(pdu, PowerState.OFF)
    assert [at_s for at_s, _ in ending.told] == [0.0, 10.0, 30.0]


@pytest.mark.parametrize("tells_way", [True, False])
def test_the_catalogues_pending_outlet_is_switched_by_one_command(tells_way: bool) -> None:
    fault = completed("pdu.pending", {})
    pdu = slow(switch_s=0.0)
    pdu.give_faults([("pdu.pending", 1, fault)])
    ending = ensured(pdu, PowerState.OFF, tells_way=tells_way)
    assert ending == Ending(True, [(0.0, "off")], fault["for_s"])

"""What every PDU's agent tells of itself, whatever its family."""

from __future__ import annotations

import pytest

from bmsim.devices.pdu import Pdu
from bmsim.devices.pdu_families import FAMILIES
from bmsim.devices.pdu_mib import (
    ENTERPRISES,
    SYS_UP_TIME,
    SYSTEM,
    NoObject,
    NotWritable,
    Oid,
    PduMib,
    TimeTicks,
)


def mib(pdu: Pdu, family: str = "apc_rackpdu") -> PduMib:
    return PduMib(pdu, FAMILIES[family], "pdu1")


def test_it_counts_hundredths_of_a_second_since_it_started() -> None:
    """By whatever clock it is given; one of the model's may have run for long."""
    told = mib(Pdu({1: True}, now_s=1000.0))
    ticks = [told.get(SYS_UP_TIME, now_s) for now_s in (1000.0, 1002.5, 4600.0)]
    assert ticks == [0, 250, 360_000]
    assert all(isinstance(value, TimeTicks) for value in ticks)


def test_it_counts_anew_when_its_mains_are_back() -> None:
    pdu = Pdu({1: True})
    told = mib(pdu)
    pdu.switch_mains(False, 100.0)
    pdu.switch_mains(True, 160.0)
    assert told.get(SYS_UP_TIME, 161.0) == 100
    pdu.switch_mains(True, 170.0)  # they are
    assert told.get(SYS_UP_TIME, 171.0) == 1100


def test_it_counts_anew_after_497_days() -> None:
    """RFC 2578 §7.1.8: modulo 2^32."""
    assert mib(Pdu({1: True})).get(SYS_UP_TIME, 2**32 / 100 + 3.0) == 300


@pytest.mark.parametrize("family", FAMILIES)
def test_a_walk_comes_past_it_in_its_place(family: str) -> None:
    told = mib(Pdu({1: True, 2: True}), family)
    walked: list[Oid] = []
    following = told.following((1, 3, 6, 1))
    while following is not None:
        walked.append(following)
        following = told.following(following)
    assert walked == sorted(set(walked))
    assert walked[:6] == [(*SYSTEM, number, 0) for number in range(1, 7)]


@pytest.mark.parametrize("unit_outlets", [None, 8], ids=["by itself", "in a rack"])
def test_an_aten_says_of_outlets_that_it_has_not_that_it_has_not(unit_outlets: int | None) -> None:
    """outlet9Status and outlet42Status of a PE with 8 outlets; there is no outlet 43."""
    told = PduMib(Pdu(dict.fromkeys(range(1, 9), True)), FAMILIES["aten"], "pdu1", unit_outlets)
    status = (*ENTERPRISES, 21317, 1, 3, 2, 2, 2, 2)
    assert [told.get((*status, number, 0), 0.0) for number in (9, 11, 44)] == [2, 7, 7]
    with pytest.raises(NotWritable):
        told.command((*status, 11, 0), 2)
    with pytest.raises(NoObject):
        told.get((*status, 45, 0), 0.0)


def test_an_aten_of_which_some_outlets_are_modelled_has_those() -> None:
    told = mib(Pdu({3: True}), "aten")
    status = (*ENTERPRISES, 21317, 1, 3, 2, 2, 2, 2)
    assert [told.get((*status, number, 0), 0.0) for number in (4, 5, 44)] == [2, 7, 7]


def test_nobody_sets_it() -> None:
    with pytest.raises(NotWritable):
        mib(Pdu({1: True})).command(SYS_UP_TIME, 0)

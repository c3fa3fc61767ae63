"""The tables of PDU families, against what vendors' MIBs say of them (fixtures/SOURCES.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.core.outlets import OutletState
from provisioner.core.pdus.families import FAMILIES, family_of
from provisioner.core.pdus.family import ENTERPRISES, Oid

# family, outlet: object of its state; of on, and what is written; of off
KNOWN = {
    ("apc_masterswitch", 8): ("318.1.1.4.4.2.1.3.8", ("318.1.1.4.4.2.1.3.8", 1), ("318.1.1.4.4.2.1.3.8", 2)),
    ("apc_masterswitchplus", 1): (
        "318.1.1.6.7.1.1.5.1.1.1",
        ("318.1.1.6.5.1.1.5.1.1.1", 1),
        ("318.1.1.6.5.1.1.5.1.1.1", 3),
    ),
    ("apc_rackpdu", 24): (
        "318.1.1.12.3.3.1.1.4.24",
        ("318.1.1.12.3.3.1.1.4.24", 1),
        ("318.1.1.12.3.3.1.1.4.24", 2),
    ),
    ("aten", 1): ("21317.1.3.2.2.2.2.2.0", ("21317.1.3.2.2.2.2.2.0", 2), ("21317.1.3.2.2.2.2.2.0", 1)),
    ("aten", 8): ("21317.1.3.2.2.2.2.9.0", ("21317.1.3.2.2.2.2.9.0", 2), ("21317.1.3.2.2.2.2.9.0", 1)),
    ("aten", 9): ("21317.1.3.2.2.2.2.11.0", ("21317.1.3.2.2.2.2.11.0", 2), ("21317.1.3.2.2.2.2.11.0", 1)),
    ("aten", 42): ("21317.1.3.2.2.2.2.44.0", ("21317.1.3.2.2.2.2.44.0", 2), ("21317.1.3.2.2.2.2.44.0", 1)),
    ("baytech_mrp27", 3): (
        "4779.1.3.5.3.1.3.1.3",
        ("4779.1.3.5.3.1.3.1.3", 1),
        ("4779.1.3.5.3.1.3.1.3", 0),
    ),
    ("cyberpower", 2): (
        "3808.1.1.3.3.3.1.1.4.2",
        ("3808.1.1.3.3.3.1.1.4.2", 1),
        ("3808.1.1.3.3.3.1.1.4.2", 2),
    ),
    ("eatonpower", 5): (
        "534.6.6.7.6.6.1.2.0.5",
        ("534.6.6.7.6.6.1.4.0.5", 0),
        ("534.6.6.7.6.6.1.3.0.5", 0),
    ),
    ("raritan_pdu2", 7): (
        "13742.6.4.1.2.1.3.1.7",
        ("13742.6.4.1.2.1.2.1.7", 1),
        ("13742.6.4.1.2.1.2.1.7", 0),
    ),
    ("servertech_sentry3", 4): (
        "1718.3.2.3.1.5.1.1.4",
        ("1718.3.2.3.1.11.1.1.4", 1),
        ("1718.3.2.3.1.11.1.1.4", 2),
    ),
    ("servertech_sentry4", 4): (
        "1718.4.1.8.5.1.1.1.1.4",
        ("1718.4.1.8.5.1.2.1.1.4", 1),
        ("1718.4.1.8.5.1.2.1.1.4", 2),
    ),
    ("teltronix", 6): ("23620.1.2.2.1.4.6", ("23620.1.2.2.1.4.6", 2), ("23620.1.2.2.1.4.6", 1)),
    ("vertivgeist_pdu", 10): (
        "21239.5.2.3.5.1.4.10",
        ("21239.5.2.3.5.1.6.10", 2),
        ("21239.5.2.3.5.1.6.10", 4),
    ),
}

SYSTEMS = {
    "318.1.3.4.2": "apc_masterswitch",
    "318.1.3.4.4": "apc_masterswitchplus",
    "318.1.3.4.5": "apc_rackpdu",
    "318.1.3.4.6": "apc_rackpdu",
    "21317.1.3.2": "aten",
    "3808.1.1.3": "cyberpower",
    "534.6.6.7": "eatonpower",
    "23620.1": "teltronix",
    "4779.1": "baytech_mrp27",
    "1718.3": "servertech_sentry3",
    "1718.4": "servertech_sentry4",
    "13742.6": "raritan_pdu2",
    "21239.5.2": "vertivgeist_pdu",
    "21239.42.1.53": "vertivgeist_pdu",
}


def numbers(text: str) -> Oid:
    return ENTERPRISES + tuple(int(number) for number in text.split("."))


def test_every_family_stands_in_both_tables() -> None:
    assert {name for name, _ in KNOWN} == set(FAMILIES) == set(SYSTEMS.values()), "docs/pdus.md, step 3"


@pytest.mark.parametrize(("name", "outlet"), KNOWN)
def test_a_familys_objects_are_where_its_mib_has_them(name: str, outlet: int) -> None:
    family = FAMILIES[name]
    state, on, off = KNOWN[(name, outlet)]
    assert family.oid(family.state, outlet) == numbers(state)
    assert (family.oid(family.on.oid, outlet), family.on.value) == (numbers(on[0]), on[1])
    assert (family.oid(family.off.oid, outlet), family.off.value) == (numbers(off[0]), off[1])


@pytest.mark.parametrize("name", FAMILIES)
def test_no_value_means_two_states_and_unheard_ones_are_unknown(name: str) -> None:
    family = FAMILIES[name]
    assert family.when_on and family.when_off
    assert not family.when_on & family.when_off
    assert not (family.when_on | family.when_off) & family.pending
    assert family.read(9999) is OutletState.UNKNOWN
    assert family.source


@pytest.mark.parametrize(("system", "name"), SYSTEMS.items())
def test_a_pdu_is_known_by_what_it_calls_itself(system: str, name: str) -> None:
    family = family_of((*numbers(system), 1))
    assert family is not None
    assert family.name == name


def test_what_is_no_pdu_of_ours_is_of_no_family() -> None:
    assert family_of(numbers("9.1.1")) is None
    assert family_of((1, 3, 6, 1, 4)) is None


def test_a_chained_unit_may_be_named() -> None:
    family = FAMILIES["eatonpower"]
    assert family.oid(family.state, 3, "2") == numbers("534.6.6.7.6.6.1.2.2.3")


def test_a_family_whose_pattern_is_one_object_of_all_outlets_is_refused() -> None:
    with pytest.raises(ValueError, match="is one object of all outlets"):
        replace(FAMILIES["apc_rackpdu"], state="318.1.1.12.3.5.1.1.4.1")


def test_a_state_that_is_on_and_off_is_refused() -> None:
    with pytest.raises(ValueError, match="and not two of these"):
        replace(FAMILIES["apc_rackpdu"], when_off=frozenset({1, 2}))


@pytest.mark.parametrize("value", [4, 5, 6, 9])
def test_an_outlet_with_a_fault_is_not_taken_for_one_that_gives_power(value: int) -> None:
    """Of Sentry3-MIB's outletStatus: offError, onError, noComm, onFuse."""
    assert FAMILIES["servertech_sentry3"].read(value) is OutletState.UNKNOWN

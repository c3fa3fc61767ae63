"""The tables of PDU families, against what vendors' MIBs say of them (fixtures/SOURCES.md)."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from provisioner.core import pdus
from provisioner.core.errors import InvalidInput
from provisioner.core.outlets import OutletState
from provisioner.core.pdus.families import FAMILIES, family_of, read_families
from provisioner.core.pdus.family import ENTERPRISES, Command, Oid

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

ON, OFF, PENDING, UNKNOWN = OutletState.ON, OutletState.OFF, OutletState.PENDING, OutletState.UNKNOWN
MISSING = "missing"

# family: all values of the object of its state, in the words of its MIB
STATES: dict[str, dict[int, tuple[str, OutletState | str]]] = {
    "apc_masterswitch": {  # sPDUOutletCtl; 5 to 7 are commands with a delay, which nobody gave
        1: ("outletOn", ON),
        2: ("outletOff", OFF),
        3: ("outletReboot", UNKNOWN),
        4: ("outletUnknown", UNKNOWN),
        5: ("outletOnWithDelay", UNKNOWN),
        6: ("outletOffWithDelay", UNKNOWN),
        7: ("outletRebootWithDelay", UNKNOWN),
    },
    "apc_masterswitchplus": {1: ("outletStatusMSPOn", ON), 2: ("outletStatusMSPOff", OFF)},
    "apc_rackpdu": {  # rPDUOutletControlOutletCommand: what reads as others than 1 and 2 isn't told
        1: ("immediateOn", ON),
        2: ("immediateOff", OFF),
        3: ("immediateReboot", UNKNOWN),
        4: ("delayedOn", UNKNOWN),
        5: ("delayedOff", UNKNOWN),
        6: ("delayedReboot", UNKNOWN),
        7: ("cancelPendingCommand", UNKNOWN),
    },
    "aten": {
        1: ("off", OFF),
        2: ("on", ON),
        3: ("pending", PENDING),
        4: ("reboot", PENDING),
        5: ("fault", UNKNOWN),
        6: ("noauth", UNKNOWN),
        7: ("not-support", MISSING),
        8: ("pop", UNKNOWN),
    },
    "baytech_mrp27": {
        0: ("off", OFF),
        1: ("on", ON),
        2: ("reboot", PENDING),
        3: ("lockon", ON),
        4: ("lockoff", OFF),
        5: ("unlock", UNKNOWN),
        6: ("unknown", UNKNOWN),
    },
    "cyberpower": {  # ePDUOutletControlOutletCommand, as APC's
        1: ("immediateOn", ON),
        2: ("immediateOff", OFF),
        3: ("immediateReboot", UNKNOWN),
        4: ("delayedOn", UNKNOWN),
        5: ("delayedOff", UNKNOWN),
        6: ("delayedReboot", UNKNOWN),
        7: ("cancelPendingCommand", UNKNOWN),
    },
    "eatonpower": {
        0: ("off", OFF),
        1: ("on", ON),
        2: ("pendingOff", PENDING),
        3: ("pendingOn", PENDING),
    },
    "raritan_pdu2": {  # SensorStateEnumeration, of which an outlet has three
        -1: ("unavailable", UNKNOWN),
        0: ("open", UNKNOWN),
        1: ("closed", UNKNOWN),
        2: ("belowLowerCritical", UNKNOWN),
        3: ("belowLowerWarning", UNKNOWN),
        4: ("normal", UNKNOWN),
        5: ("aboveUpperWarning", UNKNOWN),
        6: ("aboveUpperCritical", UNKNOWN),
        7: ("on", ON),
        8: ("off", OFF),
        9: ("detected", UNKNOWN),
        10: ("notDetected", UNKNOWN),
        11: ("alarmed", UNKNOWN),
    },
    "servertech_sentry3": {
        0: ("off", OFF),
        1: ("on", ON),
        2: ("offWait", PENDING),
        3: ("onWait", PENDING),
        4: ("offError", UNKNOWN),
        5: ("onError", UNKNOWN),
        6: ("noComm", UNKNOWN),
        7: ("reading", PENDING),
        8: ("offFuse", OFF),
        9: ("onFuse", UNKNOWN),  # it gives no power
    },
    "servertech_sentry4": {
        0: ("notSet", UNKNOWN),
        1: ("fixedOn", ON),
        2: ("idleOff", OFF),
        3: ("idleOn", ON),
        4: ("wakeOff", OFF),
        5: ("wakeOn", ON),
        6: ("ocpOff", OFF),
        7: ("ocpOn", ON),
        8: ("pendOn", PENDING),
        9: ("pendOff", PENDING),
        10: ("off", OFF),
        11: ("on", ON),
        12: ("reboot", PENDING),
        13: ("shutdown", PENDING),
        14: ("lockedOff", OFF),
        15: ("lockedOn", ON),
        16: ("eventOff", OFF),
        17: ("eventOn", ON),
        18: ("eventReboot", PENDING),
        19: ("eventShutdown", PENDING),
    },
    "teltronix": {1: ("off", OFF), 2: ("on", ON)},
    "vertivgeist_pdu": {
        1: ("on", ON),
        2: ("off", OFF),
        3: ("on2off", PENDING),
        4: ("off2on", PENDING),
        5: ("rebootOn", PENDING),
        6: ("rebootOff", PENDING),
        7: ("unavailable", UNKNOWN),
    },
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


def test_every_family_stands_in_all_tables() -> None:
    tables = ({name for name, _ in KNOWN}, set(STATES), set(SYSTEMS.values()))
    assert tables == (set(FAMILIES),) * 3, "docs/pdus.md, step 3"


@pytest.mark.parametrize(("name", "outlet"), KNOWN)
def test_a_familys_objects_are_where_its_mib_has_them(name: str, outlet: int) -> None:
    family = FAMILIES[name]
    state, on, off = KNOWN[(name, outlet)]
    assert family.oid(family.state, outlet) == numbers(state)
    assert (family.oid(family.on.oid, outlet), family.on.value) == (numbers(on[0]), on[1])
    assert (family.oid(family.off.oid, outlet), family.off.value) == (numbers(off[0]), off[1])


@pytest.mark.parametrize("name", FAMILIES)
def test_each_value_of_a_familys_state_means_what_its_mib_says(name: str) -> None:
    family = FAMILIES[name]
    understood = {
        value: MISSING if value in family.missing else family.read(value)
        for value in range(min(STATES[name]) - 2, max(STATES[name]) + 256)
    }
    said = {value: meaning for value, (_, meaning) in STATES[name].items()}
    assert understood == dict.fromkeys(understood, UNKNOWN) | said
    assert family.source


@pytest.mark.parametrize(("system", "name"), SYSTEMS.items())
def test_a_pdu_is_known_by_what_it_calls_itself(system: str, name: str) -> None:
    family = family_of((*numbers(system), 1))
    assert family is not None
    assert family.name == name


def test_what_is_no_pdu_of_ours_is_of_no_family() -> None:
    assert family_of(numbers("9.1.1")) is None
    assert family_of((1, 3, 6, 1, 4)) is None


@pytest.mark.parametrize("system", ["3808", "3808.1.1.1"])
def test_a_ups_of_cyberpowers_is_not_taken_for_a_pdu(system: str) -> None:
    assert family_of(numbers(system)) is None


def test_a_chained_unit_may_be_named() -> None:
    family = FAMILIES["eatonpower"]
    assert family.oid(family.state, 3, "2") == numbers("534.6.6.7.6.6.1.2.2.3")


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("apc_rackpdu", {"state": "318.1.1.12.3.5.1.1.4.1"}, "is one object of all outlets"),
        ("apc_rackpdu", {"state": ".1.3.6.1.4.1.318.1.{outlet}"}, "is a whole OID: leave the .1.3.6.1.4.1."),
        ("apc_rackpdu", {"on": Command("1.3.6.1.4.1.318.1.{outlet}", 1)}, "is a whole OID"),
        ("apc_rackpdu", {"known_by": ("318.1.3.4.5", ".1.3.6.1.4.1.318.1")}, "1.318.1 is a whole OID"),
        ("apc_rackpdu", {"known_by": ("1.3.6.1.4.1",)}, "is a whole OID"),
        ("apc_rackpdu", {"known_by": ("PDU",)}, "PDU is no OID"),
        ("apc_rackpdu", {"known_by": "99999"}, "known_by is a tuple of texts: write ('99999',)"),
        ("apc_rackpdu", {"outlets": 0}, "outlets is how many a PDU has at most, not 0"),
        ("apc_rackpdu", {"outlets": "16"}, "outlets is how many a PDU has at most, not '16'"),
        ("apc_rackpdu", {"on": Command("318.1.{outlet}", cast(int, "1"))}, "are whole numbers, not '1'"),
        ("apc_rackpdu", {"when_on": frozenset({"1"})}, "are whole numbers, not '1'"),
        ("apc_rackpdu", {"off": Command("318.1.{unit}.{outlet}", 1)}, "say what stands for the first, unit="),
        ("apc_rackpdu", {"state": ".318.1.{outlet}"}, "is no OID"),
        ("eatonpower", {"state": "534.6.{units}.{unit}.{outlet}"}, "{units}.{unit}.{outlet} is no OID"),
        ("eatonpower", {"on": Command("534.6.{outlet}", 0)}, "is one object of all units"),
        ("eatonpower", {"when_on": frozenset()}, "say which values of its state are on and off"),
        ("eatonpower", {"when_off": frozenset()}, "say which values of its state are on and off"),
    ],
)
def test_a_mistake_in_a_familys_module_is_told_with_what_to_write(
    name: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: .*{re.escape(told)}"):
        replace(FAMILIES[name], **changes)


def test_a_state_that_is_on_and_off_is_refused() -> None:
    with pytest.raises(ValueError, match="and not two of these"):
        replace(FAMILIES["apc_rackpdu"], when_off=frozenset({1, 2}))


FINE = """
from dataclasses import replace
from provisioner.core.pdus.families import FAMILIES
FAMILY = replace(FAMILIES["apc_rackpdu"], name="acme_pdu", known_by=("99999",))
"""


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (FINE, ""),
        ("", "has no attribute 'FAMILY'"),
        ("FAMILY = 3", "its FAMILY is no Family(...)"),
        (FINE.replace("acme_pdu", "acme"), "its family is called acme: call it as the file"),
        (FINE.replace("99999", "PDU"), "acme_pdu: PDU is no OID"),
        (FINE.replace("99999", "13742.6"), "known_by: 13742.6 is raritan_pdu2's already"),
        ("FAMILY =", "invalid syntax"),
    ],
)
def test_a_sites_own_module_is_taken_or_told_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, told: str
) -> None:
    (tmp_path / "acme_pdu.py").write_text(written)
    monkeypatch.setattr(pdus, "__path__", [*pdus.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{pdus.__name__}.acme_pdu", raising=False)
    if not told:
        assert {family.name for family in read_families()} == {*FAMILIES, "acme_pdu"}
        return
    with pytest.raises(InvalidInput, match=rf"^read \w+\.py, .*{re.escape(told)}"):
        list(read_families())

"""Which outlets two nodes share: none that are two, where the family is named, and each that is one."""

from __future__ import annotations

from itertools import product

import pytest

from provisioner.core.feeds import feeds_of
from provisioner.core.pdus.families import AUTO, FAMILIES
from provisioner.core.pdus.family import Family

CHAINS = [family for family in FAMILIES.values() if family.unit]
SECOND = {
    "apc_masterswitchplus": "2.1",
    "baytech_mrp27": "2",
    "eatonpower": "1",
    "raritan_pdu2": "2",
    "servertech_sentry3": "2.1",
    "servertech_sentry4": "2.1",
}
"""As docs/pdus.md tells them."""


def shared(*entries: tuple[str, str]) -> bool:
    """Whether outlet 3 is one, by the family and the unit ("": not named) of two entries."""
    first, second = (
        feeds_of(
            "snmp",
            {"address": "10.78.0.201", "port": 161, "family": family, "unit": unit, "outlets": [3]},
        )
        for family, unit in entries
    )
    return not first.keys().isdisjoint(second)


@pytest.mark.parametrize("family", CHAINS, ids=lambda family: family.name)
def test_an_outlet_is_one_in_all_ways_to_name_its_unit_and_family(family: Family) -> None:
    for units in (("", family.unit), (SECOND[family.name],)):
        entries = [*product((family.name, AUTO), units)]
        assert all(shared(one, other) for one, other in product(entries, entries))


@pytest.mark.parametrize("family", CHAINS, ids=lambda family: family.name)
def test_outlets_of_two_units_are_two_where_the_family_is_named(family: Family) -> None:
    second = (family.name, SECOND[family.name])
    for unit in ("", family.unit):
        assert not shared((family.name, unit), second)
        assert not shared((AUTO, unit), second)


@pytest.mark.parametrize("family", CHAINS, ids=lambda family: family.name)
def test_a_pdu_that_is_asked_for_its_family_has_two_units_unless_the_second_may_be_the_first(
    family: Family,
) -> None:
    second = (AUTO, SECOND[family.name])
    for first in product((family.name, AUTO), ("", family.unit)):
        assert shared(first, second) is (family.name == "eatonpower")


@pytest.mark.parametrize("unit", ["0", "1", "1.1"])
def test_a_pdu_without_units_is_the_first_of_its_own(unit: str) -> None:
    for other in (AUTO, "apc_rackpdu"):
        assert shared(("apc_rackpdu", ""), (other, unit))

from __future__ import annotations

import pytest

from bmsim.devices.cabling import Cabling


def two_machines() -> Cabling:
    """n1 on both PDUs, n2 on the second alone. All outlets are off."""
    return Cabling({"n1": [("a", 1), ("b", 1)], "n2": [("b", 2)]})


def test_at_first_each_machine_is_told_once() -> None:
    cabling = two_machines()
    assert cabling.changes() == [("n1", False), ("n2", False)]
    assert cabling.changes() == []


def test_one_of_two_feeds_is_enough() -> None:
    cabling = two_machines()
    cabling.switched(("a", 1), True)
    cabling.switched(("b", 1), True)
    assert cabling.changes() == [("n1", True), ("n2", False)]
    cabling.switched(("a", 1), False)
    assert cabling.changes() == []
    cabling.switched(("b", 1), False)
    assert cabling.changes() == [("n1", False)]


def test_an_outlet_without_a_machine_feeds_nobody() -> None:
    cabling = two_machines()
    cabling.changes()
    cabling.switched(("a", 7), True)
    assert cabling.changes() == []


def test_swapped_machines_go_on_and_off_with_each_others_outlets() -> None:
    cabling = two_machines()
    cabling.switched(("b", 2), True)
    cabling.changes()
    assert cabling.swap("n1", None) == "n2"
    assert cabling.changes() == [("n1", True), ("n2", False)]
    cabling.switched(("b", 2), False)
    assert cabling.changes() == [("n1", False)]
    cabling.switched(("a", 1), True)
    assert cabling.changes() == [("n2", True)]
    cabling.unswap("n2")
    cabling.unswap("n2")
    assert cabling.changes() == [("n1", True), ("n2", False)]


def test_an_outlet_whose_machines_are_swapped_concerns_both() -> None:
    cabling = two_machines()
    assert cabling.crossed(("b", 2)) == []
    cabling.swap("n1", "n2")
    assert cabling.crossed(("b", 2)) == [("n2", "n1"), ("n1", "n2")]
    assert cabling.crossed(("a", 7)) == []
    cabling.unswap("n1")
    assert cabling.crossed(("b", 2)) == []


@pytest.mark.parametrize(
    ("machine", "other", "told"),
    [
        ("n9", None, "n9 hangs on no outlet"),
        ("n1", "n9", "n9 hangs on no outlet that n1 could be swapped with"),
        ("n1", "n1", "could be swapped with"),
    ],
)
def test_what_hangs_nowhere_is_not_swapped(machine: str, other: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        two_machines().swap(machine, other)


def test_a_machine_alone_on_its_pdus_has_nobody_to_be_swapped_with() -> None:
    with pytest.raises(ValueError, match="could be swapped"):
        Cabling({"n1": [("a", 1)], "n2": [("b", 1)]}).swap("n1", None)


def test_what_is_swapped_is_not_swapped_again() -> None:
    cabling = two_machines()
    cabling.swap("n1", "n2")
    with pytest.raises(ValueError, match="n1 is swapped with n2 already"):
        cabling.swap("n1", "n2")

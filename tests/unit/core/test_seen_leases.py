"""Who lives, as somebody knows it who looks now and then: whatever the database's clock is set to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from provisioner.core.model import Host
from provisioner.core.seen_leases import Left, SeenLeases
from tests.unit.records import NOW

LEASE_S = 5.0
HOST = Host(id="ch1", epoch=3, beat=7, ttl_ms=5000, renewed_at=NOW, started_at=NOW, holder="ch1")
RENEWED = replace(HOST, beat=8)

HOUR_S = 3600.0
SET = [0.0, -HOUR_S, HOUR_S]
"""By how much the database's clock was set meanwhile."""


def seconds(of: float) -> timedelta:
    return timedelta(seconds=of)


def test_at_the_first_look_the_clock_is_believed() -> None:
    assert SeenLeases().look(HOST, NOW + seconds(2), 100.0) == Left(3.0, certain=False)
    assert SeenLeases().look(HOST, NOW + seconds(9), 100.0) == Left(0.0, certain=False)


def test_no_lease_lasts_longer_than_it_was_taken_for() -> None:
    assert SeenLeases().look(HOST, NOW - seconds(HOUR_S), 100.0) == Left(LEASE_S, certain=False)


@pytest.mark.parametrize("set_s", SET)
def test_one_that_was_heard_of_lives_for_a_lease_from_then(set_s: float) -> None:
    leases, wall = SeenLeases(), NOW + seconds(set_s)
    leases.look(HOST, NOW, 100.0)
    assert leases.look(RENEWED, wall, 101.0) == Left(LEASE_S, certain=True)
    assert leases.look(RENEWED, wall, 104.0) == Left(2.0, certain=True)
    assert leases.look(RENEWED, wall, 106.0) == Left(0.0, certain=True)


@pytest.mark.parametrize("set_s", SET)
def test_one_of_which_nothing_was_heard_for_a_lease_is_gone(set_s: float) -> None:
    leases = SeenLeases()
    leases.look(HOST, NOW, 100.0)
    assert leases.look(HOST, NOW + seconds(set_s), 105.0) == Left(0.0, certain=True)


def test_who_looks_again_late_knows_no_more_than_at_first() -> None:
    """It may have renewed its lease long ago, and have died since."""
    leases = SeenLeases()
    leases.look(HOST, NOW, 100.0)
    late = replace(RENEWED, renewed_at=NOW + seconds(400))
    assert leases.look(late, NOW + seconds(1000), 1100.0) == Left(0.0, certain=False)
    assert leases.look(late, NOW + seconds(401), 1101.0) == Left(4.0, certain=False)


def test_one_that_was_started_anew_is_another() -> None:
    leases = SeenLeases()
    leases.look(HOST, NOW, 100.0)
    anew = replace(HOST, started_at=NOW + seconds(3), renewed_at=NOW + seconds(3))
    assert leases.look(anew, NOW + seconds(3), 103.0) == Left(LEASE_S, certain=True)


def test_a_lease_that_was_given_back_is_over() -> None:
    assert SeenLeases().look(replace(HOST, released=True), NOW, 100.0) == Left(0.0, certain=True)

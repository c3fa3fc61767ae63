from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import inf

from provisioner.compute.membership import Membership
from provisioner.core.model import Host
from tests.unit.records import NOW

OTHER = Host(id="ch2", epoch=3, beat=7, ttl_ms=5000, holder="x", renewed_at=NOW, started_at=NOW)


def test_who_is_heard_of_lives_and_who_is_not_for_a_lease_is_dead() -> None:
    seen = Membership("ch1")
    seen.observe((OTHER,), 100.0)
    assert seen.left_s(OTHER, 103.0) == 2.0
    again = replace(OTHER, beat=8)
    seen.observe((again,), 104.0)
    assert seen.left_s(again, 105.0) == 4.0
    seen.observe((again,), 108.9)
    assert 0 < seen.left_s(again, 108.9) < 0.2
    assert seen.left_s(again, 109.0) == 0.0


def test_wall_clocks_make_nobody_dead_or_alive() -> None:
    seen = Membership("ch1")
    for beat, days in enumerate((0, 400, -400)):
        beating = replace(OTHER, beat=beat, renewed_at=NOW + timedelta(days=days))
        seen.observe((beating,), float(beat))
        assert seen.left_s(beating, float(beat)) == 5.0
    assert seen.left_s(beating, 7.0) == 0.0


def test_a_new_epoch_is_news_and_a_released_lease_is_none() -> None:
    seen = Membership("ch1")
    seen.observe((OTHER,), 0.0)
    anew = replace(OTHER, epoch=4, beat=0)
    seen.observe((anew,), 6.0)
    assert seen.left_s(anew, 6.0) == 5.0
    assert seen.left_s(replace(anew, released=True), 6.0) == 0.0


def test_nobody_is_dead_to_himself() -> None:
    me = replace(OTHER, id="ch1")
    seen = Membership("ch1")
    seen.observe((me,), 0.0)
    assert seen.left_s(me, 1e9) == inf


def test_who_is_buried_by_another_host_does_not_rise_from_the_dead() -> None:
    seen = Membership("ch1")
    seen.observe((OTHER,), 0.0)
    buried = replace(OTHER, epoch=4)
    seen.observe((buried,), 5.0)
    assert seen.left_s(buried, 5.0) == 0.0

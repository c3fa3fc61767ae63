from __future__ import annotations

from provisioner.services.quota import Quota
from tests.unit.fakes import JumpingClock


def test_one_per_key_and_time_is_admitted() -> None:
    clock = JumpingClock()
    quota = Quota(clock, every_s=5)
    assert [quota.admits("a"), quota.admits("a"), quota.admits("b")] == [True, False, True]
    clock.now_s += 5
    assert quota.admits("a")


def test_the_oldest_key_is_forgotten_when_there_are_too_many() -> None:
    quota = Quota(JumpingClock(), every_s=5, max_keys=2)
    assert all(quota.admits(key) for key in "abc")
    assert quota.admits("a")
    assert not quota.admits("c")

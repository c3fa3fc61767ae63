from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.core.lease import Lease

seconds = st.floats(min_value=0, max_value=1e6, allow_nan=False)


@given(asked=seconds, ttl=st.floats(min_value=0.1, max_value=3600), now=seconds, duration=seconds)
def test_what_a_lease_covers_ends_before_the_lease_does(
    asked: float, ttl: float, now: float, duration: float
) -> None:
    lease = Lease("a", 1, ttl, asked)
    if lease.covers(now, duration):
        assert now + duration < asked + ttl


def test_a_lease_is_counted_from_before_it_was_asked_for() -> None:
    lease = Lease("a", 1, ttl_s=9.0, asked_at_s=100.0)
    assert lease.ends_at_s == 109.0
    assert lease.renew_every_s == pytest.approx(3.24)
    assert lease.covers(100.0, 8.9)
    assert not lease.covers(100.0, 9.0)

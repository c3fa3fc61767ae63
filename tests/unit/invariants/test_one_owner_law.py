"""The judge of ownership is held to the law as it is written, over histories that are drawn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scenarios.runner.invariants.one_owner import OneOwner
from tests.unit.invariants.watched import Watched

HOSTS = ("ch1", "ch2", "ch3")

# Given to a host under the next fence, or acted on by one.
HISTORIES = st.lists(st.tuples(st.sampled_from(("given", "acts")), st.sampled_from(HOSTS)), max_size=14)


def lawless(history: list[tuple[str, str]]) -> list[int]:
    """Which commands come after the first of another host under a newer fence, by looking at all pairs."""
    found: list[int] = []
    acted: list[tuple[str, int]] = []
    fences: dict[str, int] = {}
    for index, (what, host) in enumerate(history):
        if what == "given":
            fences[host] = index + 1
        else:
            if any(other != host and fence > fences[host] for other, fence in acted):
                found.append(index)
            acted.append((host, fences[host]))
    return found


@given(HISTORIES)
def test_what_breaks_the_law_is_told_and_nothing_else(drawn: list[tuple[str, str]]) -> None:
    # Whoever acts was given the node some time.
    history = [("given", host) for host in HOSTS] + drawn
    watched = Watched(OneOwner())
    for index, (what, host) in enumerate(history):
        if what == "given":
            watched.device("lease", "owner", "n1", owner=host, fence=index + 1)
        else:
            watched.device("bmc", "chassis.power.on", "n1", host, result="ok")
    assert [breach.event for breach in watched.end()] == lawless(history)

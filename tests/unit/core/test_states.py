from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.core.errors import Conflict
from provisioner.core.states import (
    ACTING,
    DELETABLE,
    TRANSITIONS,
    Event,
    ProvisionState,
    diagram,
    next_state,
    table,
)


def test_every_state_is_listed_and_can_be_left() -> None:
    assert set(TRANSITIONS) == set(ProvisionState)
    assert all(TRANSITIONS[state] for state in ProvisionState)


def test_every_transition_has_its_reason() -> None:
    assert all(step.reason for row in TRANSITIONS.values() for step in row.values())


def test_every_state_is_reachable_from_enrolment() -> None:
    reached, frontier = {ProvisionState.ENROLLING}, [ProvisionState.ENROLLING]
    while frontier:
        for step in TRANSITIONS[frontier.pop()].values():
            if step.to not in reached:
                reached.add(step.to)
                frontier.append(step.to)
    assert reached == set(ProvisionState)


def test_a_node_that_carried_an_instance_is_offered_only_after_cleaning() -> None:
    into_available = {
        state
        for state, row in TRANSITIONS.items()
        for step in row.values()
        if step.to is ProvisionState.AVAILABLE
    }
    assert into_available == {ProvisionState.ENROLLING, ProvisionState.CLEANING}
    into_enrolling = {
        state
        for state, row in TRANSITIONS.items()
        for step in row.values()
        if step.to is ProvisionState.ENROLLING
    }
    assert into_enrolling == {ProvisionState.ENROL_FAILED, ProvisionState.AVAILABLE}


def test_a_node_that_works_is_never_deletable() -> None:
    assert not (DELETABLE & (ACTING - {ProvisionState.ENROLLING}))
    assert ProvisionState.ACTIVE not in DELETABLE


@given(st.sampled_from(ProvisionState), st.sampled_from(Event))
def test_an_impossible_event_names_the_possible_ones(state: ProvisionState, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert next_state(state, event) is TRANSITIONS[state][event].to
        return
    with pytest.raises(Conflict) as refused:
        next_state(state, event)
    assert all(possible in refused.value.message for possible in TRANSITIONS[state])


def test_the_diagram_and_the_table_show_every_transition() -> None:
    for state, row in TRANSITIONS.items():
        for event, step in row.items():
            assert f"{state} --> {step.to}: {event}" in diagram()
            assert step.reason in table()

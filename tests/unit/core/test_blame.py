from __future__ import annotations

import re
from pathlib import Path

import pytest

import provisioner
from provisioner.core.blame import BLAME, MOST_MOVES, verdict
from provisioner.core.model import Failure
from tests.unit.records import instance

SOURCES = [file.read_text() for file in Path(provisioner.__path__[0]).rglob("*.py")]


def failure(code: str) -> Failure:
    return Failure(code=code, message="no answer in 10 s", step="power_on")


OWN = sorted(code for code, blame in BLAME.items() if blame.own)


@pytest.mark.parametrize("code", OWN)
def test_a_fault_of_its_own_takes_the_node_out_of_service_and_moves_the_request(code: str) -> None:
    found = verdict(failure(code), instance(), alike=0, nodes=10)
    assert found.own and found.moves
    assert found.maintenance == (
        f"a deploy failed by its fault ({code}), in step power_on: no answer in 10 s"
    )


@pytest.mark.parametrize("code", [*sorted(set(BLAME) - set(OWN)), "nobody-knows"])
def test_what_would_befall_every_node_is_not_held_against_one(code: str) -> None:
    found = verdict(failure(code), instance(), alike=0, nodes=10)
    assert not found.own and not found.moves and not found.maintenance


def test_a_request_moves_so_often_and_no_more() -> None:
    moved = instance(failed_on=tuple(f"n{number}" for number in range(MOST_MOVES)))
    found = verdict(failure("agent-lost"), moved, alike=0, nodes=10)
    assert found.maintenance and not found.moves


def test_who_asks_for_a_node_by_name_keeps_it_and_it_stays_in_service() -> None:
    found = verdict(failure("agent-lost"), instance(node_name="n1"), alike=0, nodes=10)
    assert found.own and not found.moves and not found.maintenance


@pytest.mark.parametrize(
    ("alike", "nodes", "believed"),
    [(3, 4, True), (4, 40, False), (4, 41, True), (9, 100, True), (10, 100, False)],
)
def test_what_befalls_many_nodes_alike_is_held_against_none(alike: int, nodes: int, believed: bool) -> None:
    """Else a dead switch would take a whole rack out of service, request by request."""
    found = verdict(failure("agent-never-reported"), instance(), alike=alike, nodes=nodes)
    assert found.moves is found.own is bool(found.maintenance) is believed
    assert believed or "look at what they share" in found.told


def test_the_table_knows_every_code_that_a_deploy_can_fail_with() -> None:
    """Those of agent commands, of errors that raise them, and those that are put on an error."""
    codes = {code for source in SOURCES for code in re.findall(r'\bcode = "([a-z]+(?:-[a-z]+)*)"', source)}
    codes |= {code for source in SOURCES for code in re.findall(r'\bcode="([a-z]+(?:-[a-z]+)*)"', source)}
    codes |= {code for source in SOURCES for code in re.findall(r'CommandError\(\s*"([a-z-]+)"', source)}
    never = {"error", "stale", "lease-lost", "wipe-failed", "wipe-not-proven", "forbidden", "url-forbidden"}
    never |= {"interrupted", "too-many-requests"}  # an image's upload, a user's requests
    assert codes - never <= set(BLAME)
    assert all(any(f'"{code}"' in source for source in SOURCES) for code in BLAME)

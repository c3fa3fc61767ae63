from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Listener

pytestmark = pytest.mark.wire

REFUSED = [{"node": "n1", "why": "it is active"}]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        # To who oversees the nodes, and to others.
        (
            {"node": None, "why": "no node fits: 2 × it is active", "refused": REFUSED, "refused_nodes": 2},
            ["n1        it is active", "and 1 more", "It would get no node: no node fits: 2 × it is active."],
        ),
        (
            {"node": None, "why": "no node fits: 2 × it is active", "refused": [], "refused_nodes": 2},
            ["It would get no node: no node fits: 2 × it is active."],
        ),
        (
            {"node": None, "why": "no nodes are enrolled", "refused": [], "refused_nodes": 0},
            ["It would get no node: no nodes are enrolled."],
        ),
        ({"node": "n3", "why": "", "refused": [], "refused_nodes": 2}, ["It would get node n3."]),
    ],
)
def test_a_dry_run_tells_why_no_node_would_be_had(
    listener: Listener, found: dict[str, Any], told: list[str]
) -> None:
    listener.status, listener.answer = 200, found
    lines = [line.rstrip() for line in listener.run("instance", "place", "--image", "debian").splitlines()]
    assert [line for line in lines if not line.startswith("not node")] == told


def test_an_instance_that_was_deleted_meanwhile_is_no_success(listener: Listener) -> None:
    found = {"name": "web", "state": "deleted", "work": None, "waiting_for": "", "failure": None}
    listener.status, listener.answer = 200, {**found, "items": []}
    listener.run("instance", "wait", "web", exit_code=1)
    assert json.loads(listener.run("instance", "wait", "web", "--json", exit_code=1))["state"] == "deleted"

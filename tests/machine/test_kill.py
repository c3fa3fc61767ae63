"""kill -9 of the provisioner in every step: the deploy goes on to ACTIVE, the deletion to a clean disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from provisioner.core.plan import PLANS
from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine

DEPLOY = [spec.name for spec in PLANS["deploy-iscsi"].steps]
DELETE = ("power_off", "agent_ready", "wipe", "withdraw_boot")


@pytest.mark.parametrize(
    "steps",
    [
        # In one deploy: each resumed step is followed by one in which it dies again.
        pytest.param(DEPLOY, id="each"),
        *(pytest.param([step], id=step, marks=pytest.mark.full) for step in DEPLOY),
    ],
)
def test_a_deploy_and_its_deletion_survive_the_death_of_the_provisioner(
    new_lab: Callable[..., Lab], steps: list[str]
) -> None:
    lab = new_lab(node(), deploy={"resumed_deadline_s": 60}).ready("tiny")
    lab.deploy("web", "tiny")
    killed_in(lab, steps)
    instance = lab.instance_becomes("active", "web")
    assert lab.ssh(instance["address"], "hostname").strip() == "web"
    resumed = [event for event in lab.events() if event["name"] == "step.resumed"]
    assert len(resumed) >= len(steps) - 1, "the process was killed while the deploy ran"

    lab.cli("instance", "delete", "web")
    killed_in(lab, DELETE)
    lab.node_becomes("available", deadline="deleted")
    assert not any(lab.disk("n1").read_bytes()[: 2**20])


def killed_in(lab: Lab, steps: Sequence[str]) -> None:
    for step in steps:
        lab.step_begins(step)
        lab.kill()
        lab.start()

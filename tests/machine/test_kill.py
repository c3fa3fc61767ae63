"""kill -9 of the provisioner in every step: the deploy goes on to ACTIVE."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provisioner.core.plan import PLANS
from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine

STEPS = [spec.name for spec in PLANS["deploy-iscsi"].steps]
GROUPS = [STEPS[start::4] for start in range(4)]
"""Several kills in one deploy, in the order of the steps: a deploy for each would take an hour."""


@pytest.mark.parametrize("steps", GROUPS, ids="+".join)
def test_a_deploy_survives_the_death_of_the_provisioner(
    new_lab: Callable[..., Lab], steps: list[str]
) -> None:
    lab = new_lab(node(), deploy={"resumed_deadline_s": 60})
    lab.register("tiny")
    lab.enrol()
    lab.node_becomes("available")
    lab.deploy("web", "tiny")
    for step in steps:
        lab.step_begins(step)
        lab.kill()
        lab.start()
    instance = lab.instance_becomes("active", "web")
    assert lab.ssh(instance["address"], "hostname").strip() == "web"
    resumed = [event for event in lab.events() if event["name"] == "step.resumed"]
    assert len(resumed) >= len(steps) - 1, "the process was killed while the deploy ran"


def test_a_deletion_survives_the_death_of_the_provisioner(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(node(), deploy={"resumed_deadline_s": 60})
    lab.register("tiny")
    lab.enrol()
    lab.node_becomes("available")
    lab.deploy("web", "tiny")
    lab.instance_becomes("active", "web")
    lab.cli("instance", "delete", "web")
    for step in ("power_off", "agent_ready", "wipe", "withdraw_boot"):
        lab.step_begins(step)
        lab.kill()
        lab.start()
    lab.node_becomes("available", deadline="deleted")
    assert not any(lab.disk("n1").read_bytes()[: 2**20])

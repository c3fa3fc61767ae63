"""kill -9 of the provisioner in every step: the deploy goes on to ACTIVE, the deletion to a clean disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from provisioner.core.plan import PLANS
from tests.machine.kill import each_was_taken_up_again, killed_in
from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine

DEPLOY, CLEAN = PLANS["deploy-iscsi"], PLANS["clean"]
DEPLOY_STEPS, CLEAN_STEPS = ([spec.name for spec in plan.steps] for plan in (DEPLOY, CLEAN))


@pytest.mark.parametrize(
    ("deploy_steps", "clean_steps"),
    [
        # In one deploy: each resumed step is followed by one in which it dies again.
        pytest.param(DEPLOY_STEPS, CLEAN_STEPS, id="each"),
        *(pytest.param([step], [], id=f"deploy-{step}", marks=pytest.mark.full) for step in DEPLOY_STEPS),
        *(pytest.param([], [step], id=f"clean-{step}", marks=pytest.mark.full) for step in CLEAN_STEPS),
    ],
)
def test_a_deploy_and_its_deletion_survive_the_death_of_the_provisioner(
    new_lab: Callable[..., Lab], deploy_steps: Sequence[str], clean_steps: Sequence[str]
) -> None:
    lab = new_lab(node(), deploy={"resumed_deadline_s": 60}).ready("tiny")
    killed = killed_in(lab, deploy_steps, lambda: lab.deploy("web", "tiny"))
    instance = lab.instance_becomes("active", "web")
    assert lab.ssh(instance["address"], "hostname").strip() == "web"
    each_was_taken_up_again(lab, DEPLOY, killed)

    killed = killed_in(lab, clean_steps, lambda: lab.cli("instance", "delete", "web"))
    lab.node_becomes("available", deadline="deleted")
    assert not any(lab.disk("n1").read_bytes()[: 2**20])
    each_was_taken_up_again(lab, CLEAN, killed)

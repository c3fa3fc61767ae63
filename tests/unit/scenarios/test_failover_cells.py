"""Where compute hosts are lost by the matrices of failover: in each step of each plan that there is."""

from __future__ import annotations

from provisioner.core.plan import PLANS
from scenarios.runner.random_story import FAMILIES
from tests.failover_stories import ENROLMENT, OTHER_STEPS, STEPS, WAYS


def test_a_host_is_lost_in_each_step_of_each_plan() -> None:
    cells = {*STEPS, *ENROLMENT, *((plan, step) for _, plan, step in OTHER_STEPS)}
    assert cells == {(plan.name, spec.name) for plan in PLANS.values() for spec in plan.steps}


def test_each_plan_is_that_of_some_kind_of_node() -> None:
    assert {"enrol", *(plan for family in FAMILIES for plan in family.plans)} == set(PLANS)


def test_each_kind_of_node_but_servers_with_a_bios_is_a_way_of_its_own() -> None:
    assert {family for family, _ in WAYS.values()} == {one for one in FAMILIES if one.firmware != "bios"}

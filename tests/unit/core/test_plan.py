from __future__ import annotations

import pytest

from provisioner.compute.endings import ENDINGS
from provisioner.compute.steps import STEPS
from provisioner.compute.worker import REBOOT_FROM
from provisioner.core.plan import PLANS


def test_every_step_of_every_plan_exists_and_none_is_left_over() -> None:
    named = {spec.name for plan in PLANS.values() for spec in plan.steps}
    assert named == set(STEPS)


def test_every_plan_has_its_ending() -> None:
    assert set(ENDINGS) == set(PLANS)


def test_a_plan_with_an_agent_can_boot_its_ramdisk_again() -> None:
    for plan in PLANS.values():
        names = [spec.name for spec in plan.steps]
        if "agent_ready" in names:
            assert names.index(REBOOT_FROM) < names.index("agent_ready")


@pytest.mark.parametrize("plan", PLANS.values(), ids=lambda plan: plan.name)
def test_steps_follow_each_other_and_resume_never_skips_ahead(plan) -> None:  # type: ignore[no-untyped-def]
    names = [spec.name for spec in plan.steps]
    assert len(set(names)) == len(names)
    walked = [names[0]]
    while (following := plan.after(walked[-1])) is not None:
        walked.append(following)
    assert walked == names
    assert all(plan.index(plan.resume_at(name)) <= plan.index(name) for name in names)


def test_a_step_of_another_plan_is_a_broken_invariant() -> None:
    with pytest.raises(LookupError, match="no step wipe"):
        PLANS["enrol"].index("wipe")

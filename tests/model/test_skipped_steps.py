"""A provisioner that calls a step done without doing it breaks a promise, whichever step it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.compute import worker
from provisioner.compute.context import StepContext
from provisioner.core.outcome import Next, Outcome
from provisioner.core.plan import PLANS
from scenarios.runner.compile import story_of
from scenarios.runner.load import read
from scenarios.runner.random_story import FAMILIES, Family
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import OnTold, Story
from tests.model.mutants import DELETE, DEPLOY, broken_promises, replace_steps, story, strike

BOARDS = Path(__file__).parents[2] / "scenarios/boards"

MISSED_BY_NOBODY = {
    "verify_image": "what was written is the image, unless a disk is broken: see below",
    "withdraw_instance": "the ramdisk to clean by is published in its place, or all is withdrawn in the end",
    "power_off": "a node that runs is power-cycled to boot what cleans it",
}
"""Steps that leave no trace in the end where nothing goes wrong."""

MISSED_BY_NOBODY_ON_A_BOARD = {
    "withdraw_instance": MISSED_BY_NOBODY["withdraw_instance"],
    "withdraw_boot": "nothing is published for it since its instance's boot was withdrawn",
    "set_board_network": "it has its address by DHCP already; a story asks for the commands",
    "filter_board_packets": "nobody gave it rules",
}
"""The same of tilepro64."""


def is_missed(family: Family, image: str, step: str) -> bool:
    """Whether a story tells that it wasn't done."""
    if family.arch == "tilepro64":
        return step not in MISSED_BY_NOBODY_ON_A_BOARD
    if (
        step == "set_boot_device"
    ):  # U-Boot has an order of its own; a node by NFS loads from the network always
        return family.firmware != "uboot" and family.deploy != "nfs"
    if step == "publish_instance_boot":  # it boots from its disk
        return not image.endswith("-disk")
    return step not in MISSED_BY_NOBODY


STEPS = [
    pytest.param(
        family, image, step, id=f"{family.arch}-{family.firmware}-{family.deploy}-{image}-{plan}-{step}"
    )
    for family in FAMILIES
    for image in family.images
    for plan in family.plans
    for step in (spec.name for spec in PLANS[plan].steps)
]


def ordered(family: Family, image: str) -> Story:
    """All that an instance of this kind can have."""
    mib = 64 if family.plans[0] == "deploy-iscsi" else 0
    deploy = replace(DEPLOY, image=image, ephemeral_mib=mib, swap_mib=mib)
    return replace(story(deploy, DELETE, images=(image,)), nodes=(family.node(1, "ipmi"),))


async def skip(ctx: StepContext) -> Outcome:
    return Next("done")


@pytest.mark.parametrize(("family", "image", "step"), STEPS)
def test_a_step_that_is_not_done_is_missed(
    family: Family, image: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_steps(monkeypatch, {step: skip})
    assert bool(broken_promises(ordered(family, image))) is is_missed(family, image, step)


def test_a_story_asks_for_a_boards_network(monkeypatch: pytest.MonkeyPatch) -> None:
    board = story_of(read(BOARDS / "slow-boot.yaml").scenario, Fidelity.MODEL, 1)
    assert broken_promises(board) == set()
    replace_steps(monkeypatch, {"set_board_network": skip})
    assert broken_promises(board) == {"expectation"}


@pytest.mark.parametrize("step", ["grow_root", "make_ephemeral", "make_swap", "write_config_drive"])
@pytest.mark.parametrize("image", ["tiny", "tiny-disk"])
def test_what_was_ordered_around_the_image_is_missed_on_the_disk(
    step: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_steps(monkeypatch, {step: skip})
    assert "disk_as_ordered" in broken_promises(ordered(FAMILIES[0], image))


@pytest.mark.parametrize("step", ["grow_root", "make_ephemeral", "make_swap", "write_config_drive"])
def test_what_an_instance_before_has_left_is_not_what_was_ordered(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quick wipe leaves it where it was: whoever doesn't make it anew gives it to the next tenant."""
    first = replace(DEPLOY, ephemeral_mib=64, swap_mib=64)
    second = replace(first, instance="next", when=OnTold("web", "deleted"))
    twice = story(first, DELETE, second)
    assert broken_promises(twice) == set()
    done, made = worker.STEPS[step], list[str]()

    async def once(ctx: StepContext) -> Outcome:
        assert ctx.instance is not None
        made.append(ctx.instance.name)
        return await done(ctx) if ctx.instance.name == "web" else Next("done")

    replace_steps(monkeypatch, {step: once})
    assert broken_promises(twice) == {"disk_as_ordered"}
    assert made == ["web", "next"]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.arch != "tilepro64"])
def test_a_node_that_runs_on_after_its_cleaning_is_caught(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_steps(monkeypatch, {"power_off_clean": skip})
    assert broken_promises(ordered(family, family.images[0])) == {"off_when_offered"}


def test_an_image_that_a_disk_spoils_is_caught_where_nobody_reads_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoiled = replace(story(DEPLOY), strikes=(strike("disk.corrupts_writes", at_mib=20),))
    assert "bytes_equal_image" not in broken_promises(spoiled)
    replace_steps(monkeypatch, {"verify_image": skip})
    assert "bytes_equal_image" in broken_promises(spoiled)

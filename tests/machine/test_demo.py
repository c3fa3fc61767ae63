"""script/demo as a newcomer types it: to its proof, and left up to look around."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.commands import run
from tests.machine.demo import PROJECT, demo, is_down, is_proven, new_home, processes

pytestmark = pytest.mark.machine


@pytest.fixture
def home() -> Iterator[Path]:
    with new_home() as folder:
        yield folder


def look(commands: str, given: str = "") -> str:
    """Types commands in the project's folder, as they were printed."""
    return run(["bash", "-euc", commands], cwd=PROJECT, input=given)


@pytest.mark.parametrize("words", [(), ("--image", "tiny")], ids=["debian", "tiny"])
def test_the_demo_ends_with_its_proof_and_leaves_nothing_behind(words: tuple[str, ...], home: Path) -> None:
    told = demo(home, *words)
    is_proven(told, *words)
    is_down(home, told)


def test_the_mixed_demo_runs_an_instance_of_each_architecture_and_leaves_nothing_behind(home: Path) -> None:
    told = demo(home, "mixed")
    proof, _, after = told.partition("== Proof: a login to each")[2].partition("== Who has which node")
    asked = r"^\$ bmsim rack exec .* 'uname -m'\n(\S+)$"
    assert re.findall(asked, proof, re.MULTILINE) == ["x86_64", "aarch64", "armv7l", "tilepro"], told
    for instance, node in (
        ("on-x86-64", "server[12]"),
        ("on-arm64", "board64"),
        ("on-armhf", "board32"),
        ("on-tilepro64", "tile"),
    ):
        assert re.search(rf"\b{instance}\b.*\bactive\b.*\b{node}\b", after), told
    # Both feeds of board64, one of each of the others; a server by its BMC.
    assert len(re.findall(r"\boutlet\.on\b", after)) >= 4, told
    assert "chassis.power.on" in after, told
    assert "\n\n    script/demo mixed\n" in after, told
    is_down(home, told)


def test_the_demo_of_two_hosts_has_both_at_work_and_leaves_nothing_behind(home: Path) -> None:
    told = demo(home, "failover")
    done = {host: steps.split(", ") for host, steps in re.findall(r"^(ch[12]): (.+)$", told, re.MULTILINE)}
    assert sorted(done) == ["ch1", "ch2"], told
    killed = next((host for host, steps in done.items() if steps[-1] != "instance_running"), "")
    assert killed, told
    assert done.pop(killed)[-1] == "export_disk", told
    (steps,) = done.values()
    assert steps[0] == "export_disk" and "verify_image" in steps and steps[-1] == "instance_running", told
    # It may have been shared out before, while it was idle.
    fences = [int(fence) for fence in re.findall(r"\bn1 is owned, fence (\d+)", told)]
    assert fences == list(range(1, len(fences) + 1)) and len(fences) > 1, told
    assert re.search(rf"is owned, fence {fences[-1]}, taken over\b", told), told
    assert re.search(r"^passed: .*one_owner.* held at every moment$", told, re.MULTILINE), told
    assert "\n\n    script/demo failover\n" in told, told
    is_down(home, told)


@pytest.mark.full
def test_a_demo_that_is_kept_can_be_looked_at_as_it_says_and_is_taken_down(home: Path) -> None:
    told = demo(home, "--image", "tiny", "--keep")
    is_proven(told, "--image", "tiny")
    printed = told.partition("Look around:\n\n")[2].partition("\n\nTake it down: script/demo --down\n")[0]
    lines = [line.strip() for line in printed.splitlines()]
    variables = "\n".join(line for line in lines if line.startswith("export "))
    nodes, instances, console, login = (line for line in lines if not line.startswith("export "))
    assert re.search(r"\bn1\b.*\bactive\b", look(f"{variables}\n{nodes}"))
    assert re.search(r"\bweb\b.*\bactive\b", look(f"{variables}\n{instances}"))
    assert "web is up" in look(f"{variables}\n{console} --no-follow")
    assert look(f"{variables}\n{login}", given="hostname\n").splitlines()[-1] == "web"
    assert processes(home), "the rack is up"
    assert "an earlier one is still up" in demo(home, "--image", "tiny", expect=1)

    demo(home, "--down")
    assert list(home.iterdir()) == []
    assert processes(home) == {}

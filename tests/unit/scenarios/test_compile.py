from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scenarios.runner.compile import story_of
from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.load import read, read_all
from scenarios.runner.random_story import random_story
from scenarios.runner.record import recorded
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import (
    AtTime,
    ByChance,
    Counted,
    Delete,
    Deploy,
    Expected,
    Maintenance,
    Moment,
    OnEvent,
    OnTold,
    Power,
    Story,
)
from tests.unit.scenarios.files import SOUND, scenario, written


def story(folder: Path, text: str = SOUND, *, seed: int = 0, fidelity: Fidelity = Fidelity.MODEL) -> Story:
    return story_of(scenario(folder, text), fidelity, seed)


def with_requests(*lines: str) -> str:
    return SOUND.replace("  - {deploy: n1, image: tiny}\n", "".join(f"  - {line}\n" for line in lines))


def with_fault(line: str) -> str:
    old = "{do: bmc.busy, with: {count: 2}, when: {node: n1, step: power_on}}"
    assert old in SOUND
    return SOUND.replace(old, line)


def test_a_node_gets_addresses_and_a_password_of_its_own(tmp_path: Path) -> None:
    first, second = story(tmp_path).nodes
    assert first.mac == "52:54:00:77:00:01"
    assert second.bmc_address == "10.78.0.102"
    assert first.bmc_password != second.bmc_password
    assert first.bmc_password not in repr(first)


def test_ten_thousand_nodes_are_written_as_a_count(tmp_path: Path) -> None:
    made = story(tmp_path, SOUND.replace("[{name: n1}, {name: n2}]", "{count: 10000, firmware: uefi}")).nodes
    assert [made[0].name, made[-1].name] == ["n1", "n10000"]
    assert len({node.mac for node in made}) == len({node.bmc_address for node in made}) == 10_000
    assert {node.firmware for node in made} == {"uefi"}


def test_deploy_all_is_spread_over_its_time(tmp_path: Path) -> None:
    text = with_requests("{deploy: all, image: tiny, spread_s: 10, when: {at_s: 5}}")
    assert story(tmp_path, text).requests == (
        Deploy(instance="i-n1", image="tiny", node="n1", when=AtTime(5)),
        Deploy(instance="i-n2", image="tiny", node="n2", when=AtTime(10)),
    )


def test_the_scheduler_chooses_for_any(tmp_path: Path) -> None:
    text = with_requests("{deploy: any, image: tiny, as: web, wipe: full, swap_mib: 64, ephemeral_mib: 32}")
    assert story(tmp_path, text).requests == (
        Deploy(instance="web", image="tiny", wipe="full", swap_mib=64, ephemeral_mib=32, when=AtTime(0)),
    )


def test_a_deletion_waits_until_its_instance_is_active_unless_told(tmp_path: Path) -> None:
    text = with_requests("{deploy: all, image: tiny}", "{delete: i-n1}", "{delete: i-n2, when: {at_s: 3}}")
    assert story(tmp_path, text).requests[2:] == (
        Delete(instance="i-n1", when=OnTold("i-n1", "active")),
        Delete(instance="i-n2", when=AtTime(3)),
    )


def test_a_rebuild_deletes_and_deploys_anew_to_the_same_node(tmp_path: Path) -> None:
    text = with_requests("{deploy: n1, image: tiny, as: web, wipe: full}", "{rebuild: web, image: debian}")
    made = story(tmp_path, text)
    assert made.requests[1:] == (
        Delete(instance="web", when=OnTold("web", "active")),
        Deploy(instance="web-2", image="debian", node="n1", wipe="full", when=OnTold("web", "deleted")),
    )
    assert made.images == ("tiny", "debian")


def test_what_was_rebuilt_is_rebuilt_again_as_it_was_then(tmp_path: Path) -> None:
    for order in (1, -1):
        rebuilds = ("{rebuild: web, image: debian}", "{rebuild: web-2}")[::order]
        made = story(tmp_path, with_requests("{deploy: n1, image: tiny, as: web, wipe: full}", *rebuilds))
        deploys = {one.instance: one for one in made.requests if isinstance(one, Deploy)}
        again = deploys["web-2-2"]
        assert (again.image, again.node, again.wipe) == ("debian", "n1", "full")
        assert again.when == OnTold("web-2", "deleted")


def test_all_of_a_deletion_of_all_is_each_for_itself(tmp_path: Path) -> None:
    text = with_requests(
        "{deploy: all, image: tiny}", "{delete: all, when: {instance: all, state: error, after_s: 3}}"
    )
    assert story(tmp_path, text).requests[2:] == tuple(
        Delete(instance=name, when=OnTold(name, "error", after_s=3)) for name in ("i-n1", "i-n2")
    )


def test_on_and_off_mean_what_they_say_though_yaml_reads_truth_values(tmp_path: Path) -> None:
    text = with_requests(
        "{deploy: n1, image: tiny}",
        "{power: n2, turn: off, when: {at_s: 1}}",
        "{power: n2, turn: on, when: {at_s: 2}}",
        "{maintenance: n2, turn: on, when: {at_s: 3}}",
        "{maintenance: n2, turn: off, when: {at_s: 4}}",
    )
    assert story(tmp_path, text).requests[1:] == (
        Power(node="n2", verb="off", when=AtTime(1)),
        Power(node="n2", verb="on", when=AtTime(2)),
        Maintenance(node="n2", on=True, when=AtTime(3)),
        Maintenance(node="n2", on=False, when=AtTime(4)),
    )


MOMENTS: dict[str, Moment] = {
    "{at_s: 3}": AtTime(3),
    "{node: n1, step: wipe}": OnEvent("step", "step.started", "n1", detail={"step": "wipe"}),
    "{step: reboot, done: true, nth: 2}": OnEvent("step", "step.done", "", 2, {"step": "reboot"}),
    "{node: n2, command: chassis.power.on, nth: 2}": OnEvent("bmc", "chassis.power.on", "n2", 2),
    "{node: n1, event: http.sent, detail: {file: kernel}}": OnEvent(
        "http", "sent", "n1", detail={"file": "kernel"}
    ),
    "{node: n1, step: power_on, after_s: 2}": OnEvent(
        "step", "step.started", "n1", detail={"step": "power_on"}, after_s=2
    ),
    "{instance: i-n1, state: active}": OnTold("i-n1", "active"),
    "{instance: i-n1, state: active, after_s: 5}": OnTold("i-n1", "active", after_s=5),
    "{probability: 0.1, per: step}": ByChance(0.1, "step", "step.started"),
    "{probability: 0.1, per: command, node: n1}": ByChance(0.1, "bmc", "", "n1"),
    "{probability: 0.5, per: dhcp.discover}": ByChance(0.5, "dhcp", "discover"),
}


@pytest.mark.parametrize("written_moment", MOMENTS)
def test_a_moment_is_what_it_says(written_moment: str, tmp_path: Path) -> None:
    text = with_fault(f"{{do: bmc.busy, target: n1, when: {written_moment}, heal: {written_moment}}}")
    # So that a wipe can begin.
    text = text.replace("image: tiny}", "image: tiny}\n  - {delete: i-n1}")
    [strike] = story(tmp_path, text).strikes
    assert strike.when == strike.heal_when == MOMENTS[written_moment]


def test_a_fault_has_all_its_parameters_and_must_strike(tmp_path: Path) -> None:
    made = story(tmp_path)
    [strike] = made.strikes
    assert (strike.fault, strike.node, strike.host) == ("bmc.busy", "n1", "")
    assert strike.parameters == {"for_commands": None, "count": 2, "after_power_off_s": None}
    assert Expected(struck="bmc.busy", node="n1") in made.expected


@pytest.mark.parametrize(
    "line",
    [
        "{do: bmc.busy, when: {node: n1, step: power_on}, may_miss: true}",
        "{do: bmc.busy, target: n1, when: {probability: 0.1, per: step}}",
    ],
)
def test_what_is_left_to_chance_need_not_strike(line: str, tmp_path: Path) -> None:
    assert all(not expected.struck for expected in story(tmp_path, with_fault(line)).expected)


def test_the_owner_of_the_node_of_the_trigger_is_struck(tmp_path: Path) -> None:
    text = with_fault("{do: host.kill, target: owner, when: {node: n2, step: reboot}}")
    [strike] = story(tmp_path, text.replace("deploy: n1", "deploy: all")).strikes
    assert (strike.host, strike.node) == ("owner", "n2")


def test_a_rack_has_one_compute_host_and_a_story_may_have_one_image(tmp_path: Path) -> None:
    assert story(tmp_path, with_fault("{do: host.kill}")).strikes[0].host == "ch1"
    assert story(tmp_path, with_fault("{do: image.corrupt}")).strikes[0].image == "tiny"


def test_a_share_of_the_nodes_is_chosen_by_the_seed(tmp_path: Path) -> None:
    text = with_fault("{do: bmc.busy, share: 0.1, when: {step: power_on}}")
    text = text.replace("[{name: n1}, {name: n2}]", "{count: 100}").replace("deploy: n1", "deploy: all")
    struck = [{strike.node for strike in story(tmp_path, text, seed=seed).strikes} for seed in (1, 1, 2)]
    assert len(struck[0]) == 10
    assert struck[0] == struck[1] != struck[2]
    for strike in story(tmp_path, text, seed=1).strikes:
        assert isinstance(strike.when, OnEvent)
        assert strike.when.node == strike.node


def test_expectations_of_instances_and_counts(tmp_path: Path) -> None:
    text = SOUND.replace(
        "  - {node: n1, state: active}",
        "  - {instance: i-n1, state: error, failure: disk-too-small, cause: MiB}\n"
        "  - {event: step.step.retry, node: n1, at_most: 2}",
    )
    wanted = story(tmp_path, text).expected
    assert Expected(instance="i-n1", outcome="error", failure="disk-too-small", cause="MiB") == wanted[0]
    assert wanted[1] == Expected(counted=Counted(OnEvent("step", "step.retry", "n1"), 0, 2))


@pytest.mark.parametrize("fidelity", Fidelity)
def test_faults_end_when_the_table_or_the_scenario_says(fidelity: Fidelity, tmp_path: Path) -> None:
    assert story(tmp_path, fidelity=fidelity).safety_s == DEADLINES[fidelity].safety_s
    assert story(tmp_path, SOUND + "safety_s: 42\n", fidelity=fidelity).safety_s == 42


@pytest.mark.parametrize("seed", range(40))
def test_a_story_that_was_made_up_is_written_down_as_it_was(seed: int, tmp_path: Path) -> None:
    made_up = random_story(seed, nodes=4, compute_hosts=1 + seed % 5, orders=seed % 7)
    text = recorded(made_up, seed=seed, why="what nobody thought of", source="found by a search")
    again = story_of(read(written(tmp_path, text)).scenario, Fidelity.MODEL, seed)
    assert yaml.safe_load(text)["seed"] == seed
    assert again == made_up


@pytest.mark.exhaustive
def test_every_scenario_of_the_model_is_written_down_as_it_was(tmp_path: Path) -> None:
    found = read_all([Path(__file__).parents[3] / "scenarios"])
    for one in (one for one in found if Fidelity.MODEL in one.scenario.fidelities):
        made = story_of(one.scenario, Fidelity.MODEL, 3)
        text = recorded(made, seed=3, why=one.scenario.why, source=one.scenario.source)
        assert story_of(scenario(tmp_path, text), Fidelity.MODEL, 3) == made, one.file

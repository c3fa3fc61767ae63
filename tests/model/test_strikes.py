"""Each strike of a story counts for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Deploy, Expected, OnEvent, Story, Strike
from scenarios.runner.verdict import Played, Verdict


def at(step: str) -> OnEvent:
    return OnEvent("step", "step.started", "n1", detail={"step": step})


def strike(fault: str, step: str, *, host: str = "", **given: object) -> Strike:
    parameters = CATALOGUE[fault].completed(given)
    return Strike(fault=fault, node="" if host else "n1", host=host, parameters=parameters, when=at(step))


def played(
    *strikes: Strike, times: int, images: tuple[str, ...] = ("tiny",), compute_hosts: int = 1
) -> Played:
    """The last one of the images is deployed."""
    hosts, nodes = rack(1, compute_hosts)
    struck = Expected(struck=strikes[0].fault, node=strikes[0].node, times=times)
    story = Story(
        name="strikes",
        hosts=hosts,
        nodes=nodes,
        requests=(Deploy(instance="web", image=images[-1], node="n1"),),
        strikes=strikes,
        expected=(struck,),
        images=images,
        safety_s=900.0,
    )
    return play_story(story, Fidelity.MODEL, 1)


def test_a_story_proves_nothing_of_whose_strikes_one_alone_came() -> None:
    result = played(
        strike("host.restart", "write_image", host="ch1"), strike("host.restart", "wipe", host="ch1"), times=2
    ).result
    assert result.verdict is Verdict.INFRA
    assert "the fault host.restart changed something 1 times of 2 alone" in result.trouble


@pytest.mark.parametrize(
    ("fault", "given"), [("node.power_loss", {}), ("bmc.busy", {"count": 2}), ("bmc.cold_reset", {})]
)
def test_the_same_fault_strikes_a_second_time(fault: str, given: dict[str, object]) -> None:
    first, second = (strike(fault, step, **given) for step in ("set_boot_device", "reboot"))
    if fault == "node.power_loss":
        first = replace(first, when=at("agent_ready"))
    told = played(first, second, times=2)
    assert told.result.verdict is Verdict.PASS, told.result.trouble
    healed = [event for event in told.trace if (event.source, event.name) == ("fault", "healed")]
    assert len(healed) == 2


def test_what_ends_with_the_first_strike_is_not_the_second_one() -> None:
    """Each is healed by its own moment, though both are alike."""
    first = replace(strike("bmc.silent", "agent_ready"), heal_after_s=400.0)
    second = replace(
        strike("bmc.silent", "agent_ready"),
        heal_after_s=400.0,
        when=replace(at("agent_ready"), after_s=300.0),
    )
    told = played(first, second, times=1)
    healed_s = [event.t_s for event in told.trace if (event.source, event.name) == ("fault", "healed")]
    begun_s = [event.t_s for event in told.trace if (event.source, event.name) == ("fault", "injected")]
    assert healed_s == pytest.approx([begun_s[0] + 300.0, begun_s[1] + 400.0])


def test_of_two_images_each_is_struck_for_itself() -> None:
    broken, parameters = ("tiny", "tiny-disk"), CATALOGUE["image.corrupt"].completed({})
    strikes = [
        Strike(fault="image.corrupt", image=image, when=AtTime(0), parameters=parameters) for image in broken
    ]
    result = played(*strikes, times=2, images=(*broken, "debian")).result
    assert (result.verdict, result.trouble) == (Verdict.PASS, "")


def test_what_may_miss_proves_nothing_of_what_must_strike() -> None:
    never = replace(strike("host.kill", "wipe", host="ch1"), heal_after_s=30.0)
    other = replace(never, when=at("write_image"), may_miss=True)
    result = played(never, other, times=1).result
    assert result.verdict is Verdict.INFRA
    assert "the fault host.kill never changed anything" in result.trouble


def test_a_process_that_is_frozen_is_not_frozen_again() -> None:
    first = replace(strike("host.stop", "write_image", host="ch1"), heal_after_s=20.0)
    second = replace(first, when=replace(at("write_image"), after_s=10.0))
    result = played(first, second, times=2).result
    assert "the fault host.stop changed something 1 times of 2 alone" in result.trouble


def told_of_hosts(told: Played) -> list[str]:
    return [event.name for event in told.trace if event.source == "host" and event.detail["host"] == "ch1"]


@pytest.mark.parametrize(
    ("heal_after_s", "names"),
    [
        (None, ["started", "told_to_end", "ended"]),
        (0.01, ["started", "told_to_end", "ended", "started"]),
        (100.0, ["started", "told_to_end", "ended", "started"]),
    ],
)
def test_a_host_that_is_told_to_end_is_started_again_when_it_is_healed_and_has_ended(
    heal_after_s: float | None, names: list[str]
) -> None:
    end = replace(strike("host.end", "write_image", host="ch1"), heal_after_s=heal_after_s)
    told = played(end, times=1, compute_hosts=2)
    assert told.result.verdict is Verdict.PASS, (told.result.breaches, told.result.trouble)
    assert told_of_hosts(told)[: len(names)] == names
    assert told_of_hosts(told).count("ended") == 1


def test_a_frozen_host_hears_that_it_is_to_end_when_it_goes_on() -> None:
    stop = replace(strike("host.stop", "write_image", host="ch1"), heal_after_s=2.0)
    end = strike("host.end", "write_image", host="ch1", at_once=True)
    told = played(stop, replace(end, when=replace(end.when, after_s=1.0)), times=1, compute_hosts=2)
    assert told.result.verdict is Verdict.PASS, (told.result.breaches, told.result.trouble)
    assert told_of_hosts(told)[:5] == ["started", "stopped", "told_to_end", "continued", "ended"]

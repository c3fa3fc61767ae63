"""What stories have in them that seeds make up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import Strikes
from scenarios.runner.jobs import Job
from scenarios.runner.random_story import random_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import AtTime, Power, Story

STORIES = [random_story(seed, strikes=4, compute_hosts=1 + seed % 3) for seed in range(600)]


def count(story: Story, fault: str) -> int:
    return sum(strike.fault == fault for strike in story.strikes)


def test_whatever_the_model_can_bring_about_strikes_in_some_story() -> None:
    struck = {strike.fault for story in STORIES for strike in story.strikes}
    assert struck == {name for name, fault in CATALOGUE.items() if "model" in fault.fidelities}


def test_images_are_broken_from_the_beginning_and_few_are() -> None:
    of_images = 0
    for story in STORIES:
        for strike in story.strikes:
            if CATALOGUE[strike.fault].strikes is Strikes.IMAGE:
                of_images += 1
                assert strike.image in story.images
                assert strike.when == AtTime(0)
    assert 0 < of_images < sum(len(story.strikes) for story in STORIES) / 20


def test_outlets_are_crossed_once_and_with_those_of_a_neighbour() -> None:
    for story in STORIES:
        assert count(story, "pdu.wrong_wiring") <= 1
        for strike in (one for one in story.strikes if one.fault == "pdu.wrong_wiring"):
            pdus = Counter(pdu for node in story.nodes for pdu in {feed.pdu for feed in node.feeds})
            assert any(pdus[feed.pdu] > 1 for feed in story.node(strike.node).feeds)


def test_a_bmc_that_is_busy_when_the_state_is_reached_hides_that_it_is() -> None:
    led = 0
    for story in STORIES:
        for strike, following in zip(story.strikes, story.strikes[1:], strict=False):
            if strike.fault == "bmc.busy_when_reached":
                led += 1
                assert (following.fault, following.node) == ("bmc.lies_about_power", strike.node)
    assert led


def test_no_disk_shrinks_under_its_instance() -> None:
    small = [one for story in STORIES for one in story.strikes if one.fault == "disk.too_small"]
    assert small
    assert all(one.when == AtTime(0) for one in small)


def test_orders_of_operators_are_drawn_beside_the_rest_which_stays_as_it_is() -> None:
    verbs = Counter[tuple[bool, str]]()
    for seed in range(100):
        without, ordered = (random_story(seed, orders=orders) for orders in (0, 5))
        assert (ordered.strikes, ordered.nodes) == (without.strikes, without.nodes)
        orders = [one for one in ordered.requests if isinstance(one, Power)]
        assert len(orders) == 5
        rest = [one for one in ordered.requests if one not in orders]
        assert [type(one) for one in rest] == [type(one) for one in without.requests]
        verbs.update((bool(ordered.node(one.node).feeds), one.verb) for one in orders)
    assert {verb for of_feeds, verb in verbs if not of_feeds} == {"on", "off", "cycle", "reset", "soft"}
    assert {verb for of_feeds, verb in verbs if of_feeds} == {"on", "off", "cycle"}


def test_a_job_with_orders_is_told_and_kept_with_them() -> None:
    job = Job(fidelity=Fidelity.MODEL, seed=7, orders=3)
    assert job.command.endswith("search --seeds 7..7 --nodes 5 --strikes 2 --orders 3")
    assert Job.from_json(job.to_json()) == job
    assert job.story == random_story(7, orders=3)
    plain = replace(job, orders=0)
    assert "--orders" not in plain.command and "orders" not in plain.to_json()

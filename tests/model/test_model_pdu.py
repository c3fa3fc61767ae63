"""PDUs of the model: what they answer, what they do to machines, and racks of machines wired alike."""

from __future__ import annotations

import asyncio

import pytest

from bmsim.faults.catalogue import completed
from bmsim.rack.spec import Rack
from provisioner.core.errors import DeviceRefused, DeviceUnreachable
from scenarios.runner.client import node_entry
from scenarios.runner.machine.stage import rack_of
from scenarios.runner.random_story import random_story
from scenarios.runner.stage import Fidelity, LabTrouble
from scenarios.runner.switched_by import unfit, unfit_for
from tests.model.pdu_bench import STORY, Bench, play


def test_a_machine_follows_its_outlet_and_the_command_is_written_down() -> None:
    async def story(bench: Bench) -> None:
        assert await bench.state("a1", 2) == "off"
        await bench.switch("a1", 2, True)
        assert await bench.state("a1", 2) == "on"
        await bench.switch("a1", 2, False)

    bench = play(story)
    assert bench.power == [("n2", True), ("n2", False)]
    written = ("n2", "pdu.outlet.on", {"pdu": "a1", "outlet": 2, "result": "ok", "sender": "ch1#1"})
    assert written in bench.noted


def test_a_pdu_counts_virtual_time_since_the_story_began() -> None:
    async def story(bench: Bench) -> None:
        await asyncio.sleep(3600)
        assert 360_000 <= int(str(await bench.ticks("a1"))) < 360_100

    play(story)


def test_a_machine_with_two_feeds_needs_one_of_them() -> None:
    async def story(bench: Bench) -> None:
        await bench.switch("a1", 3, True)
        await bench.switch("b1", 3, True)
        await bench.switch("a1", 3, False)
        assert bench.power == [("n3", True)]
        await bench.switch("b1", 3, False)

    assert play(story).power == [("n3", True), ("n3", False)]


@pytest.mark.parametrize("wrong", ["community", "outlet"])
def test_what_a_pdu_does_not_know_it_does_not_do(wrong: str) -> None:
    async def story(bench: Bench) -> None:
        if wrong == "community":  # is not answered at all
            with pytest.raises(DeviceUnreachable):
                await bench.switch("a1", 2, True, community="public")
        else:
            with pytest.raises(DeviceRefused, match="noCreation"):
                await bench.switch("a1", 7, True)

    assert play(story).power == []


def test_half_off_leaves_a_machine_on() -> None:
    async def story(bench: Bench) -> None:
        for pdu in ("a1", "b1"):
            await bench.switch(pdu, 3, True)
        bench.feeds.inject("pdu.half_off", "n3", {})
        for pdu in ("a1", "b1"):
            await bench.switch(pdu, 3, False)
        assert (await bench.state("a1", 3), await bench.state("b1", 3)) == ("off", "on")
        bench.feeds.heal("pdu.half_off", "n3")
        await bench.switch("b1", 3, False)

    bench = play(story)
    assert bench.power == [("n3", True), ("n3", False)]
    assert bench.struck("pdu.half_off") == {"n3"}


def test_what_strikes_a_whole_pdu_strikes_all_who_hang_on_it() -> None:
    async def story(bench: Bench) -> None:
        bench.feeds.inject("pdu.unreachable", "n2", {})
        with pytest.raises(DeviceUnreachable, match="no answer"):
            await bench.state("a1", 3)
        assert await bench.state("b1", 3) == "off"

    assert play(story).struck("pdu.unreachable") == {"n2", "n3"}


@pytest.mark.parametrize("feed", [1, 2])
def test_a_fault_may_be_one_of_one_feed(feed: int) -> None:
    async def story(bench: Bench) -> None:
        bench.feeds.inject("pdu.outlet_stuck", "n3", completed("pdu.outlet_stuck", {"feed": feed}))
        for pdu in ("a1", "b1"):
            await bench.switch(pdu, 3, True)
        found = [await bench.state("a1", 3), await bench.state("b1", 3)]
        assert found == (["off", "on"] if feed == 1 else ["on", "off"])
        bench.feeds.heal("pdu.outlet_stuck", "n3")
        for pdu in ("a1", "b1"):
            await bench.switch(pdu, 3, True)
        assert [await bench.state("a1", 3), await bench.state("b1", 3)] == ["on", "on"]

    assert play(story).struck("pdu.outlet_stuck") == {"n3"}


def test_a_fault_of_a_feed_that_a_node_lacks_is_refused() -> None:
    second, third = ({"feed": number} for number in (2, 3))
    assert "power: two-pdus" in unfit("pdu.unreachable", "n1", "pdu", "iscsi", second)
    assert unfit("pdu.unreachable", "n1", "two-pdus", "iscsi", second) == ""
    assert "two at most" in unfit("pdu.unreachable", "n1", "two-pdus", "iscsi", third)


def test_a_slow_pdu_serves_one_message_after_the_other() -> None:
    async def story(bench: Bench) -> None:
        bench.feeds.inject("pdu.slow_queue", "n2", {"each_s": 1.0})
        begun_s = asyncio.get_running_loop().time()
        await asyncio.gather(bench.state("a1", 2), bench.state("a1", 3))
        assert 2.0 < asyncio.get_running_loop().time() - begun_s < 2.1

    play(story)


def test_with_wrong_wiring_another_machine_is_switched() -> None:
    async def story(bench: Bench) -> None:
        bench.feeds.inject("pdu.wrong_wiring", "n2", completed("pdu.wrong_wiring", {}))
        await bench.switch("a1", 2, True)
        bench.feeds.heal("pdu.wrong_wiring", "n2")
        with pytest.raises(LabTrouble, match="n1 hangs on no outlet"):
            bench.feeds.inject("pdu.wrong_wiring", "n1", completed("pdu.wrong_wiring", {}))

    bench = play(story)
    assert bench.power == [("n3", True), ("n2", True), ("n3", False)]
    assert bench.struck("pdu.wrong_wiring") == {"n2", "n3"}


def test_a_rack_of_machines_is_wired_as_the_modelled_one() -> None:
    rack = Rack.model_validate(rack_of(STORY, "rack"))
    assert [bool(node.bmc) for node in rack.nodes] == [True, False, False]
    assert [len(node.outlets) for node in rack.nodes] == [0, 1, 2]
    entries = [node_entry(node, Fidelity.MODEL)["power"]["driver"] for node in STORY.nodes]
    assert entries == ["ipmi", "snmp", "feeds"]


def test_made_up_stories_strike_what_nodes_have() -> None:
    faults: set[str] = set()
    feeds: set[int | None] = set()
    for seed in range(300):
        story = random_story(seed, strikes=4)
        for strike in story.strikes:
            faults.add(strike.fault)
            if "feed" in strike.parameters:
                feeds.add(strike.parameters["feed"])
            if strike.node:
                node = story.node(strike.node)
                assert not unfit(strike.fault, strike.node, node.power, node.deploy, strike.parameters)
                assert not unfit_for(strike.fault, strike.node, node.firmware)
    assert feeds == {None, 1, 2}
    assert {fault for fault in faults if fault.startswith("pdu.")} == {
        *("pdu.unreachable", "pdu.slow_queue", "pdu.outlet_stuck", "pdu.pending", "pdu.half_off"),
        "pdu.wrong_wiring",
    }

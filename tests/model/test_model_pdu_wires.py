"""What befalls the way between compute hosts and the PDUs of the model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.core.errors import DeviceUnreachable
from tests.model.pdu_bench import Bench, play


@pytest.mark.parametrize("given", [{}, {"protocols": ["snmp"]}])
@pytest.mark.parametrize(
    ("node", "reached"), [("n1", {"a1", "b1"}), ("n2", {"b1"}), ("n3", set()), ("", set())]
)
def test_what_befalls_a_nodes_wires_befalls_the_pdus_that_it_hangs_on(
    node: str, reached: set[str], given: dict[str, Any]
) -> None:
    async def story(bench: Bench) -> None:
        bench.breaks("net.partition", node, **given)
        assert await bench.reached() == reached
        bench.breaks("net.partition", node, protocols=["ipmi", "dhcp", "tftp", "http"])
        assert await bench.reached() == {"a1", "b1"}

    play(story)


@pytest.mark.parametrize(
    ("host", "cut_off_from", "reached"),
    [
        ("ch1", "nodes", set()),
        ("ch1", "both", set()),
        ("ch1", "store", {"a1", "b1"}),
        ("ch2", "nodes", {"a1", "b1"}),
    ],
)
def test_a_host_that_is_cut_off_from_the_nodes_is_so_from_all_pdus(
    host: str, cut_off_from: str, reached: set[str]
) -> None:
    async def story(bench: Bench) -> None:
        bench.breaks("host.partition", host=host, **{"from": cut_off_from})
        assert await bench.reached() == reached

    play(story)


def test_what_strikes_the_wire_of_a_pdu_is_told_of_its_node_and_once_of_who_shares_it() -> None:
    async def story(bench: Bench) -> None:
        bench.breaks("net.partition", "n2", protocols=["snmp"])
        for _ in range(3):
            assert await bench.reached() == {"b1"}

    assert play(story).lost == ["n2", "n3", "n2", "n2"]


@pytest.mark.parametrize(("direction", "carried_out"), [("to_node", 0), ("to_host", 1)])
def test_of_what_is_told_to_a_pdu_the_command_is_lost_or_its_answer(direction: str, carried_out: int) -> None:
    async def story(bench: Bench) -> None:
        bench.breaks("net.drop", "n2", nth=1, protocols=["snmp"], direction=direction)
        with pytest.raises(DeviceUnreachable):
            await bench.switch("a1", 2, True)
        assert len(bench.commands()) == carried_out
        await bench.switch("a1", 2, True)
        assert len(bench.commands()) == carried_out + 1

    play(story)


def test_a_message_to_a_pdu_may_come_twice_or_late() -> None:
    async def story(bench: Bench) -> None:
        loop = asyncio.get_running_loop()
        bench.breaks("net.duplicate", "n2", probability=1.0, direction="to_node")
        await bench.switch("a1", 2, True)
        await asyncio.sleep(1)
        assert bench.commands() == ["pdu.outlet.on"] * 2
        bench.breaks("net.delay", "n2", delay_s=0.5)
        begun_s = loop.time()
        await bench.switch("a1", 2, False)
        assert 1.0 < loop.time() - begun_s < 1.1

    assert play(story).power == [("n2", True), ("n2", False)]

"""Nodes on outlets stay off until they have discharged, whoever switches them on again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.runner.addresses import numbered_host, numbered_node
from scenarios.runner.model.provisioner_process import DISCHARGE_S
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Delete, Deploy, OnEvent, OnTold, Power, Request, Story, Strike
from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Verdict

TWICE = (
    Deploy(instance="web", image="tiny", node="n1"),
    Delete(instance="web", when=OnTold("web", "active")),
    Deploy(instance="again", image="tiny", node="n1", when=OnTold("n1", "available", nth=2)),
)
"""A node is deployed again just after it was cleaned."""


def played(power: str, strikes: tuple[Strike, ...], requests: tuple[Request, ...] = TWICE) -> Trace:
    told = play_story(
        Story(
            name="discharge",
            hosts=(numbered_host(1),),
            nodes=(numbered_node(1, "n1", power=power),),
            requests=requests,
            strikes=strikes,
            images=("tiny",),
            safety_s=1800.0,
        ),
        Fidelity.MODEL,
        1,
    )
    assert told.result.verdict is Verdict.PASS, told.result.breaches
    return told.trace


def outages_s(trace: Trace) -> list[float]:
    """How long n1 was without power, each time."""
    found, lost_s = [], None
    for event in trace:
        if event.source == "feed" and event.name == "power.lost":
            lost_s = event.t_s
        elif event.source == "feed" and lost_s is not None:
            found.append(event.t_s - lost_s)
            lost_s = None
    return found


@pytest.mark.parametrize("power", ["pdu", "two-pdus"])
@pytest.mark.parametrize("nth", [0, 1, 2, 3])
def test_a_node_is_off_until_it_has_discharged_though_its_host_restarts_meanwhile(
    power: str, nth: int
) -> None:
    """nth: of the times that the node loses its power; 0: the host doesn't restart."""
    at = OnEvent("feed", "power.lost", "n1", nth=nth, after_s=0.5)
    trace = played(power, (Strike(fault="host.restart", host="ch1", when=at),) if nth else ())
    assert sum(event.name == "struck" for event in trace) == bool(nth)
    outages = outages_s(trace)
    assert len(outages) >= 3
    assert min(outages) >= DISCHARGE_S


@pytest.mark.parametrize("power", ["pdu", "two-pdus"])
@pytest.mark.parametrize("verb", ["off", "shutdown", "cycle"])
def test_a_node_that_an_operator_switches_off_has_discharged_though_its_host_restarts_meanwhile(
    power: str, verb: str
) -> None:
    lost = OnEvent("feed", "power.lost", "n1", after_s=0.5)
    trace = played(
        power,
        (Strike(fault="host.restart", host="ch1", when=lost),),
        (
            Power(node="n1", verb="on"),
            Power(node="n1", verb=verb, when=OnEvent("feed", "power.back", "n1", after_s=10.0)),
            Power(node="n1", verb="on", when=replace(lost, after_s=0.6)),
        ),
    )
    assert sum(event.name == "struck" for event in trace) == 1
    (outage_s,) = outages_s(trace)
    assert outage_s >= DISCHARGE_S


def test_a_node_that_has_been_off_for_long_is_on_at_once() -> None:
    trace = played("pdu", ())
    begun_s = next(
        event.t_s for event in trace if event.source == "step" and event.detail["step"] == "power_on"
    )
    on_s = next(event.t_s for event in trace if event.source == "feed" and event.name == "power.back")
    assert on_s - begun_s < 1.0

from __future__ import annotations

import asyncio

import pytest

from provisioner.drivers import snmp_engines
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_engines import MOST_ENGINES, SnmpEngines

PDUS_OF_10_000_NODES = 500
"""Forty nodes in a rack, two PDUs."""


class Engine:
    open = made = 0

    def __init__(self) -> None:
        Engine.open += 1
        Engine.made += 1

    def close_dispatcher(self) -> None:
        Engine.open -= 1


@pytest.fixture(autouse=True)
def _made_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "open", 0)
    monkeypatch.setattr(Engine, "made", 0)
    monkeypatch.setattr(snmp_engines.snmp, "SnmpEngine", Engine)


def in_turn(users: int, rounds: int) -> None:
    """Each PDU has keys of its own, and is asked again and again."""

    async def story() -> None:
        engines = SnmpEngines()
        for _ in range(rounds):
            for number in range(users):
                with engines.lent(Credentials(version="3", user="one", auth_key=f"key {number}")):
                    pass

    asyncio.run(story())


def test_no_engine_is_made_anew_for_a_pdu_that_is_asked_in_its_turn() -> None:
    in_turn(PDUS_OF_10_000_NODES, rounds=2)
    assert Engine.made == PDUS_OF_10_000_NODES


def test_engines_are_bounded() -> None:
    in_turn(MOST_ENGINES + 100, rounds=1)
    assert Engine.open == MOST_ENGINES


BY_V3 = Credentials(version="3", user="one", auth_key="a key")


def asked(engines: SnmpEngines, agent: str, *, answers: bool) -> None:
    with engines.lent(BY_V3) as lent:
        (lent.answered if answers else lent.silent)(agent)


@pytest.mark.parametrize(
    ("story", "made"),
    [
        ([("a", True), ("a", False), ("a", False), ("a", True)], 2),
        ([("a", True), ("a", False), ("a", True), ("a", False), ("a", True)], 1),
        ([("a", True), ("a", False), ("b", True), ("b", False), ("a", True)], 1),
        ([("a", True), ("b", False), ("b", False), ("b", False), ("a", True)], 1),
    ],
    ids=["fell silent", "lost a message now and then", "two lost one each", "never answered"],
)
def test_an_engine_is_left_that_an_agent_fell_silent_to(story: list[tuple[str, bool]], made: int) -> None:
    async def told() -> None:
        engines = SnmpEngines()
        for agent, answers in story:
            asked(engines, agent, answers=answers)
        await asyncio.sleep(0)
        assert (Engine.made, Engine.open) == (made, 1)

    asyncio.run(told())


def test_an_engine_that_is_left_ends_when_nobody_waits_for_it() -> None:
    async def told() -> None:
        engines = SnmpEngines()
        asked(engines, "a", answers=True)
        with engines.lent(BY_V3):
            for _ in range(2):
                asked(engines, "a", answers=False)
            asked(engines, "a", answers=True)
            await asyncio.sleep(0)
            assert Engine.open == 2
        await asyncio.sleep(0)
        assert Engine.open == 1
        engines.close()
        assert Engine.open == 0

    asyncio.run(told())

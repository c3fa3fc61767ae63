"""Which messages real wires lose is drawn by the story's seed and what is struck, and by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from bmsim.faults.catalogue import completed
from bmsim.rack.spec import Rack
from bmsim.sandbox.wire_faults import ruleset
from scenarios.runner.machine.beside import Beside
from scenarios.runner.machine.provisioner import Provisioner
from scenarios.runner.machine.rack_file import rack_of
from scenarios.runner.machine.stage import MachineStage
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Order
from scenarios.runner.story import Story
from scenarios.runner.trace import Trace

HOSTS, NODES = rack(2)
STORY = Story(name="a-story", hosts=HOSTS, nodes=NODES, requests=())


class Given:
    """A rack that writes down what it is told to do."""

    def __init__(self) -> None:
        self.rack = Rack.model_validate(rack_of(STORY, "a-rack"))
        self.parameters: list[Mapping[str, Any]] = []
        self.rules: list[str] = []

    def inject(self, target: str, fault: str, **parameters: Any) -> None:
        self.parameters.append(parameters)
        node = self.rack.node(target)
        assert node is not None
        self.rules.append(ruleset(self.rack, node, fault, completed(fault, parameters)))


class Silent:
    """A program beside the provisioner that does nothing."""

    async def start(self) -> None: ...

    def stop(self) -> None: ...


class Lab(MachineStage):
    """Its programs and its provisioner aren't there."""

    def _beside(self, module: str, host: str, given: Mapping[str, Any]) -> Beside:
        return cast(Beside, Silent())


class Images:
    def files(self) -> Mapping[str, Any]:
        return {}


class Nobody:
    services_host = "ch1"


def struck(story: int, node: str = "n1", fault: str = "net.drop", **given: Any) -> Given:
    """What the rack is told in a playing by this seed."""

    async def playing() -> Given:
        found = Given()
        lab: Any = Lab(STORY, story, "a-rack", Trace())
        lab._rack, lab._images, lab._provisioner = found, Images(), cast(Provisioner, Nobody())
        await lab._start_besides()
        await lab.inject(Order(fault=fault, node=node, parameters=completed(fault, given)))
        return found

    return asyncio.run(playing())


def lost(story: int, **more: Any) -> str:
    """The numbers of the messages, as the rules have them."""
    (rules,) = struck(story, **more).rules
    return rules.partition("numgen inc mod 1024 {")[2].partition("}")[0]


def test_each_seed_of_a_story_loses_other_messages_and_the_same_ones_again() -> None:
    by_seed = [lost(seed) for seed in range(10)]
    assert len(set(by_seed)) == 10
    assert by_seed == [lost(seed) for seed in range(10)]


def test_what_one_node_loses_says_nothing_of_another() -> None:
    assert lost(1, node="n1") != lost(1, node="n2")


def test_a_fault_with_a_seed_of_its_own_is_the_same_in_every_playing() -> None:
    assert lost(1, seed=0) == lost(2, seed=0)
    assert lost(1, seed=0) != lost(1, seed=7)
    (given,) = struck(1, seed=0).parameters
    assert given["seed"] == 0


def test_what_is_not_left_to_chance_is_given_no_seed() -> None:
    (given,) = struck(1, fault="net.partition").parameters
    assert "seed" not in given

"""What runs on a real machine, as far as its console tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from scenarios.runner.machine.stage import MachineStage
from scenarios.runner.machine.systems_seen import AGENT, TILE_PROMPT
from scenarios.runner.random_story import rack
from scenarios.runner.story import Deploy, Story
from scenarios.runner.trace import Event, Origin, Trace


class Machines:
    """A rack of them, with what they print."""

    def __init__(self) -> None:
        self.printed = ""

    def console(self, node: str) -> str:
        return self.printed


class Lab:
    def __init__(self, firmware: str = "bios") -> None:
        hosts, (node,) = rack(1)
        self.trace = Trace()
        requests = tuple(Deploy(instance=name, image=image, node="n1") for name, image in IMAGES.items())
        story = Story(
            name="a-story", hosts=hosts, nodes=(replace(node, firmware=firmware),), requests=requests
        )
        self.stage = MachineStage(story, 0, "a-story", self.trace)
        self.machines = Machines()
        cast(Any, self.stage)._rack = self.machines

    def tell(self, source: str, name: str, **detail: str) -> None:
        told = Event(t_s=1.0, origin=Origin.STAGE, source=source, name=name, node="n1", detail=detail)
        self.trace.add(told)

    def runs(self, instance: str) -> None:
        self.tell("request", "deploy", instance=instance, image=IMAGES[instance])
        self.machines.printed += f"{AGENT} 1\n"
        self.tell("client", "instance", instance=instance, state="active")


IMAGES = {"web": "tiny", "web-2": "tiny-disk"}


def test_what_runs_is_what_was_asked_for_last() -> None:
    lab = Lab()
    for instance, image in IMAGES.items():
        lab.runs(instance)
        lab.machines.printed += "login:"
        assert lab.stage.running("n1") == image
        lab.tell("request", "delete", instance=instance)
        lab.tell("client", "instance", instance=instance, state="deleted")


def test_what_could_not_be_seen_then_is_known_at_the_end_by_its_image() -> None:
    lab = Lab()
    lab.runs("web")
    assert lab.stage.running("n1") is None
    lab.machines.printed += "login:"
    lab.tell("request", "delete", instance="web")
    lab.tell("client", "instance", instance="web", state="deleted")
    lab.machines.printed += f"{AGENT} 1\n"
    assert lab.stage.ran("n1") == ["tiny"]


@pytest.mark.parametrize(("second", "ran"), [("login:", ["tiny", "tiny-disk"]), ("", ["tiny", ""])])
def test_each_that_could_not_be_seen_then_is_known_at_the_end(second: str, ran: list[str]) -> None:
    lab = Lab()
    for instance, printed in zip(IMAGES, ("login:", second), strict=True):
        lab.runs(instance)
        assert lab.stage.running("n1") is None
        lab.tell("request", "delete", instance=instance)
        lab.machines.printed += printed
        lab.tell("client", "instance", instance=instance, state="deleted")
        lab.machines.printed += f"{AGENT} 1\n"
    assert lab.stage.ran("n1") == ran


def test_what_a_board_printed_for_one_that_is_to_go_proves_nothing_of_the_next() -> None:
    lab = Lab("tilera")
    lab.tell("request", "deploy", instance="web", image=IMAGES["web"])
    lab.machines.printed += TILE_PROMPT
    lab.tell("client", "instance", instance="web", state="active")
    assert lab.stage.running("n1") == "tiny"
    lab.tell("request", "delete", instance="web")
    lab.tell("client", "instance", instance="web", state="deleted")
    lab.tell("request", "deploy", instance="web-2", image=IMAGES["web-2"])
    lab.tell("client", "instance", instance="web-2", state="active")
    assert lab.stage.running("n1") is None
    assert lab.stage.ran("n1") == [""]
    lab.machines.printed += TILE_PROMPT
    assert lab.stage.ran("n1") == ["tiny-disk"]

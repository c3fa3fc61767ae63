"""A modelled machine and its BMC tell each other what the real ones do."""

from __future__ import annotations

import asyncio
from typing import Any

from bmsim.devices import ipmi_codes as ipmi
from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner.model.contents import LIBRARY, ImageServer
from scenarios.runner.model.rack import ModelRack
from scenarios.runner.model.roots import SharedRoots
from scenarios.runner.model.wires import Wires
from scenarios.runner.model.world_time import chance
from scenarios.runner.random_story import rack
from scenarios.runner.story import Story
from scenarios.runner.virtual_time import run

FLAGS = 5
"""The boot option parameter for the next boot's device (IPMI 2.0, table 28-14)."""
SET_OPTIONS, GET_OPTIONS, CONTROL = 0x08, 0x09, 0x02
ONCE_FROM_NETWORK = bytes([FLAGS, 0x80, 0x04, 0, 0, 0])
POWER_DOWN, POWER_UP = bytes([0]), bytes([1])
VALID = 0x80


async def _loops_with_a_flag() -> tuple[bool, bool]:
    """Whether the flag for one boot is there before and after a boot that the BMC didn't order."""
    posts = asyncio.Event()

    def note(node: str, source: str, name: str, sender: str = "", **detail: Any) -> None:
        if name == "post":
            posts.set()

    hosts, machines = rack(1)
    story = Story(name="loops", hosts=hosts, nodes=machines, requests=())
    wires = Wires(chance(1, "wires"), lambda *_: None)
    node = ModelRack(story, wires, lambda: (), ImageServer(lambda *_: None), note, 1, SharedRoots()).node(
        "n1"
    )
    image = LIBRARY["tiny-disk"]
    node.disk.write(0, image.virtual_size_bytes, image.name)
    node.inject("boot.loop", CATALOGUE["boot.loop"].completed({}))

    def bmc(command: int, data: bytes) -> bytes:
        answer = node.bmc.command(ipmi.CHASSIS, command, data, "test")
        assert answer is not None
        assert answer[0] == ipmi.OK
        return answer[1]

    def valid() -> bool:
        return bool(bmc(GET_OPTIONS, bytes([FLAGS, 0, 0]))[2] & VALID)

    bmc(CONTROL, POWER_UP)
    bmc(SET_OPTIONS, ONCE_FROM_NETWORK)
    before = valid()
    posts.clear()
    await posts.wait()
    after = valid()
    node.heal("boot.loop")
    bmc(CONTROL, POWER_DOWN)
    return before, after


def test_a_machine_that_restarts_by_itself_uses_up_the_flag_for_one_boot() -> None:
    assert run(_loops_with_a_flag(), 1) == (True, False)

"""A fault of a rack that comes again: its device has to see that the first one was healed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from scenarios.runner.machine.striking import LOOKED_S, Striking
from scenarios.runner.stage import Order
from scenarios.runner.virtual_time import run

BUSY = Order(fault="bmc.busy", node="n1", parameters={"count": 2})
OF_ANOTHER = Order(fault="bmc.busy", node="n2", parameters={"count": 2})
OTHER = Order(fault="bmc.late", node="n1", parameters={"count": 2})


class Rack:
    """Its files of faults."""

    def inject(self, target: str, fault: str, **parameters: Any) -> None: ...

    def heal(self, target: str, fault: str) -> None: ...


class AtOnce(Striking):
    async def rack_does(self, act: Any, *words: Any, **parameters: Any) -> None:
        act(*words, **parameters)


@pytest.mark.parametrize(
    ("healed", "pause_s", "waits_s"),
    [
        ((BUSY,), 0.0, LOOKED_S),
        ((BUSY,), 1.5, LOOKED_S - 1.5),
        ((BUSY,), 60.0, 0.0),
        ((), 0.0, 0.0),
        ((OF_ANOTHER, OTHER), 0.0, 0.0),
    ],
)
def test_one_that_was_just_healed_waits_until_its_device_has_looked(
    healed: Sequence[Order], pause_s: float, waits_s: float
) -> None:
    async def story() -> float:
        none, loop = cast(Any, None), asyncio.get_running_loop()
        striking = AtOnce(cast(Any, Rack()), none, none, (), (), 0, none)
        for order in healed:
            await striking.heal(order)
        await asyncio.sleep(pause_s)
        begun_s = loop.time()
        await striking.inject(BUSY)
        return loop.time() - begun_s

    assert run(story(), seed=1) == pytest.approx(waits_s)

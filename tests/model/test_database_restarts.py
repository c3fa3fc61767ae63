"""When the store is away in the model, and for how long."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

from scenarios.runner.model.striking import Striking
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.stage import Order
from scenarios.runner.virtual_time import run

OUTAGE = Order(fault="db.restart", parameters={"down_s": 60.0})
STORE = Link("store", "ch1", "")


def test_an_outage_that_begins_anew_lasts_its_own_time() -> None:
    async def story() -> list[bool]:
        wires, none = Wires(Random(1), lambda fault, link, what: None), cast(Any, None)
        striking = Striking(none, wires, {}, none, (), none, 1, lambda fault, host: None)
        anew = (striking.heal, striking.inject)
        away = []
        for step_s, acts in ((10, (striking.inject,)), (30, anew), (40, ()), (30, ())):
            await asyncio.sleep(step_s)
            for act in acts:
                act(OUTAGE)
            away.append(wires.cut(STORE))
        return away

    assert run(story(), seed=1) == [True, True, True, False]

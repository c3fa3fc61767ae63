"""Faults of the store that compute hosts share."""

from __future__ import annotations

from functools import partial

from bmsim.faults.fault import BY_HEAL, EVERYWHERE, NOWHERE_YET, NUMBER, By, Fault, Parameter, Strikes

_fault = partial(Fault, strikes=Strikes.RACK)

FAULTS = (
    _fault(
        "db.restart",
        "goes away in mid-step, and comes back",
        "by itself after down_s",
        "everyday: an upgrade",
        (Parameter("down_s", 10, NUMBER, "how long it is away", least=0),),
        fidelities=EVERYWHERE,
        by=By.RUNNER,
    ),
    _fault(
        "db.slow",
        "answers late",
        BY_HEAL,
        "everyday: a vacuum, a backup",
        (Parameter("delay_s", 1, NUMBER, "how much later", least=0),),
    ),
    _fault(
        "db.failover",
        "another server takes over; what was not yet copied to it is lost",
        "by itself",
        "everyday",
        fidelities=NOWHERE_YET,
    ),
)

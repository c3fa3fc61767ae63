"""How long things may take, one row for each fidelity. Every wait of a story is bounded by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scenarios.runner.stage import Fidelity
from scenarios.runner.story import Delete, Deploy, Maintenance, Power, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Counted from when everything has healed, or from the request if that comes later. A deadline bounds a
    promise, it doesn't measure: several times what the slowest sound story takes.

    deploy_s:      until the instance is active, the wait for a node that is being cleaned included
    clean_s:       until the instance is deleted and its node is available again
    safety_s:      how long faults may go on, unless the scenario says otherwise
    settle_s:      what goes on in the background after the last request has ended is given so long
    """

    deploy_s: float
    clean_s: float
    power_s: float
    maintenance_s: float
    safety_s: float
    settle_s: float

    def of(self, request: Request) -> float:
        match request:
            case Deploy():
                return self.deploy_s
            case Delete():
                return self.clean_s
            case Power():
                return self.power_s
            case Maintenance():
                return self.maintenance_s

    def called(self, name: str) -> float:
        """A row as expectations call it, one of `WITHIN`."""
        return {"deploy_deadline": self.deploy_s, "clean_deadline": self.clean_s}[name]


DEADLINES: Mapping[Fidelity, Deadlines] = {
    # Virtual seconds cost nothing. Eight retries, each after a boot that was waited for in vain, fit in.
    Fidelity.MODEL: Deadlines(
        deploy_s=7200, clean_s=7200, power_s=600, maintenance_s=60, safety_s=3600, settle_s=120
    ),
    # Real seconds on two cores without KVM, where a healthy deploy takes about a minute.
    Fidelity.MACHINE: Deadlines(
        deploy_s=600, clean_s=420, power_s=120, maintenance_s=30, safety_s=300, settle_s=5
    ),
}

WITHIN: Mapping[str, str] = {"deploy_deadline": "active", "clean_deadline": "available"}
"""What an expectation may call a row, and the node state that the row bounds."""

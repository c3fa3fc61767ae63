"""A trace by hand, watched by one invariant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from scenarios.runner.invariants import Invariant
from scenarios.runner.stage import DiskTruth
from scenarios.runner.trace import Event, Origin, Trace
from scenarios.runner.verdict import Breach


class Lab:
    """`Look`: what is found when somebody looks now."""

    def __init__(self) -> None:
        self.disks: dict[str, DiskTruth] = {}
        self.systems: dict[str, str | None] = {}
        self.ran_after_all: dict[str, Sequence[str]] = {}
        self.boots: dict[str, str] = {}
        self.hidden: list[str] = []
        self.logs: list[tuple[str, str]] = []

    def disk(self, node: str) -> DiskTruth | None:
        return self.disks.get(node)

    def blank(self, node: str) -> bool | None:
        return self.disks[node].blank if node in self.disks else None

    def running(self, node: str) -> str | None:
        return self.systems.get(node, "")

    def ran(self, node: str) -> Sequence[str]:
        return self.ran_after_all.get(node, ())

    def served(self, node: str) -> str | None:
        return self.boots.get(node, "")

    def secrets(self) -> Iterable[str]:
        return self.hidden

    def told(self) -> Iterable[tuple[str, str]]:
        return self.logs


class Watched:
    """Each event comes a second after the one before."""

    def __init__(self, invariant: Invariant) -> None:
        self.lab = Lab()
        self.breaches: list[Breach] = []
        self._invariant = invariant
        self._trace = Trace()

    def end(self) -> list[Breach]:
        self.breaches += self._invariant.end(float(len(self._trace)), self.lab)
        return self.breaches

    def asked(self, name: str, node: str = "", **detail: Any) -> None:
        self._add(Origin.STAGE, "request", name, node, "", detail)

    def told_instance(self, instance: str, state: str, node: str = "") -> None:
        self._add(Origin.STAGE, "client", "instance", node, "", {"instance": instance, "state": state})

    def told_node(self, node: str, state: str) -> None:
        self._add(Origin.STAGE, "client", "node", node, "", {"state": state})

    def told_power(self, node: str, state: str, *, verb: str) -> None:
        self._add(Origin.STAGE, "client", "power", node, "", {"verb": verb, "state": state, "answer": ""})

    def device(self, source: str, name: str, node: str, sender: str = "", **detail: Any) -> None:
        self._add(Origin.DEVICE, source, name, node, sender, detail)

    def said(self, source: str, name: str, node: str, sender: str, **detail: Any) -> None:
        """By the provisioner, of what devices see."""
        self._add(Origin.PROVISIONER, source, name, node, sender, detail)

    def late(self, ago_s: float, source: str, name: str, node: str, sender: str) -> None:
        """A device's log is read so long after what it tells."""
        self._add(Origin.DEVICE, source, name, node, sender, {}, ago_s)

    def node_state(self, node: str, state: str) -> None:
        """As the provisioner's store has it."""
        self._add(Origin.PROVISIONER, "node", "state", node, "", {"state": state})

    def owner(self, node: str, owner: str, fence: int = 0) -> None:
        self._add(Origin.PROVISIONER, "lease", "owner", node, "", {"owner": owner, "fence": fence})

    def host(self, name: str, host: str) -> None:
        self._add(Origin.STAGE, "host", name, "", host, {"host": host})

    def deployed(self, instance: str = "web", node: str = "n1", image: str = "tiny") -> None:
        """Asked for, seen running, and told to be active."""
        self.asked("deploy", node, instance=instance, image=image)
        self.device("machine", "instance", node, image=image)
        self.lab.disks[node] = DiskTruth(image=image, blank=False)
        self.lab.systems[node] = image
        self.told_instance(instance, "active", node)

    def _add(
        self,
        origin: Origin,
        source: str,
        name: str,
        node: str,
        sender: str,
        detail: dict[str, Any],
        ago_s: float = 0.0,
    ) -> None:
        event = Event(
            t_s=len(self._trace) - ago_s,
            origin=origin,
            source=source,
            name=name,
            node=node,
            sender=sender,
            detail=detail,
        )
        self._trace.add(event)
        self.breaches += self._invariant.see(len(self._trace) - 1, event, self.lab)

"""The story as its client knows it: what was asked for, and what the answers told. Shared by invariants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf

from scenarios.runner.trace import Event, Origin

ASKED = ("request", "client")
"""Sources of what `RequestsSeen` reads: whoever has one is shown these."""

LATE_S = 10.0
"""So long after its owner was answered a BMC may still do what it has acknowledged."""


NEEDED_BY = {
    "chassis.power.off": ("off",),
    "chassis.power.cycle": ("cycle",),
    "chassis.power.reset": ("reset",),
    "chassis.power.soft": ("soft",),
    "outlet.off": ("off", "cycle", "reset"),
    "outlet.reboot": ("cycle", "reset"),
}
"""Commands that cut the power → requests that ask for that."""


@dataclass(slots=True)
class Wanted:
    """One instance: asked for, and not known to be gone.

    node:  where it is to be, or is; empty: anywhere. placed: it is there.
    since_s: when the client was told its state.
    """

    name: str
    image: str
    node: str = ""
    placed: bool = False
    state: str = "requested"
    since_s: float = 0.0
    leaving: bool = False  # its deletion was asked for
    wipe: str = "quick"
    ephemeral_mib: int = 0
    swap_mib: int = 0


class RequestsSeen:
    """Stage events read: request deploy {instance, image, wipe?, ephemeral_mib?, swap_mib?}, refused
    {instance}, delete {instance}, power {verb}; client instance {instance, state}, power {verb}. Kept by
    node, since every event of every device asks."""

    def __init__(self) -> None:
        self._wanted: dict[str, Wanted] = {}  # by the instance's name
        self._by_node: dict[str, dict[str, Wanted]] = {"": {}}  # "": may come to any node
        # Of a node and a verb: requests for power that weren't answered yet; when the last one was answered.
        self._powering: Counter[tuple[str, str]] = Counter()
        self._powered_s: dict[tuple[str, str], float] = {}

    def see(self, event: Event) -> None:
        if event.origin is not Origin.STAGE:
            return
        detail = event.detail
        match event.source, event.name:
            case "request", "deploy":
                wanted = Wanted(
                    name=detail["instance"],
                    image=detail["image"],
                    wipe=detail.get("wipe", "quick"),
                    ephemeral_mib=detail.get("ephemeral_mib", 0),
                    swap_mib=detail.get("swap_mib", 0),
                )
                self._wanted[wanted.name] = wanted
                self._move(wanted.name, wanted, event.node)
            case "request", "refused":
                self._forget(detail["instance"])
            case "request", "delete":
                if instance := self._wanted.get(detail["instance"]):
                    instance.leaving = True
            case "request", "power":
                self._powering[(event.node, detail["verb"])] += 1
            case "client", "power":
                self._powering[(event.node, detail["verb"])] -= 1
                self._powered_s[(event.node, detail["verb"])] = event.t_s
            case "client", "instance":
                self._told(detail["instance"], detail["state"], event.node, event.t_s)

    def _told(self, name: str, state: str, node: str, t_s: float) -> None:
        instance = self._wanted.get(name)
        if instance is None:
            return
        if instance.state != state:
            instance.state, instance.since_s = state, t_s
        if node and state != "requested":
            instance.placed = True
            self._move(name, instance, node)
        if state == "deleted":
            self._forget(name)

    def _move(self, name: str, wanted: Wanted, node: str) -> None:
        self._by_node.get(wanted.node, {}).pop(name, None)
        wanted.node = node
        self._by_node.setdefault(node, {})[name] = wanted

    def _forget(self, name: str) -> None:
        if wanted := self._wanted.pop(name, None):
            self._by_node[wanted.node].pop(name, None)

    def powers(self, node: str, t_s: float, command: str) -> bool:
        """Whether the client has the node switched at this time in a way that needs this command."""
        return any(
            self._powering[(node, verb)] > 0 or t_s <= self._powered_s.get((node, verb), -inf) + LATE_S
            for verb in NEEDED_BY.get(command, ())
        )

    def on(self, node: str) -> Wanted | None:
        """The instance that is on a node as far as the client was told, or None. That one which is to go has
        gone, the client may hear later than of the next."""
        leaving = None
        for one in self._by_node.get(node, {}).values():
            if one.placed and not one.leaving:
                return one
            if one.placed:
                leaving = leaving or one
        return leaving

    def place_of(self, instance: str) -> str:
        """The node that it is on as far as the client was told; empty: none."""
        wanted = self._wanted.get(instance)
        return wanted.node if wanted is not None and wanted.placed else ""

    def leaves(self, instance: str) -> bool:
        """Whether its deletion was asked for."""
        wanted = self._wanted.get(instance)
        return wanted is None or wanted.leaving

    def may_concern(self, node: str) -> bool:
        """Whether anything that was asked for has to do with this node, or may have."""
        # One that ended in error without a node gets none any more.
        return bool(self._by_node.get(node)) or any(
            one.state != "error" for one in self._by_node[""].values()
        )

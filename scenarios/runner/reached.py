"""What the requests of a scenario lead to: the steps that begin at its nodes, the states of its instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.runner import vocabulary
from scenarios.runner.parts import DeletePart, DeployPart, OneNode, RebuildPart, RequestPart, When

if TYPE_CHECKING:
    from scenarios.runner.schema import Scenario

ANYWHERE = ""
"""In the place of a node's name: the scheduler chooses."""

_STEPS = {way: vocabulary.DEPLOY_STEPS[way] | vocabulary.CLEAN_STEPS[way] for way in vocabulary.WAYS}


class Reached:
    """Of one scenario: all that may happen in it, whatever breaks."""

    def __init__(self, scenario: Scenario) -> None:
        self._nodes = scenario.rack.node_list
        self._instances = scenario.deployed
        self._given: set[str] = set()  # instances that are asked for
        self._taken: set[str] = set()  # those whose end is asked for too
        self._deployed: set[str] = set()  # nodes
        self._cleaned: set[str] = set()
        # A request that waits for what follows from it is never made, nor are two that wait for each other.
        waiting, before = list(scenario.requests), -1
        while len(waiting) != before:
            before = len(waiting)
            waiting = [request for request in waiting if not self._is_made(request)]

    def state(self, instance: str, state: str) -> bool:
        """Whether the client may be told it. instance: one that the scenario deploys."""
        return instance in (self._taken if state == "deleted" else self._given)

    def step(self, step: str, node: OneNode) -> bool:
        """Whether it may begin there."""
        deploys = step in vocabulary.DEPLOY_STEPS[way_of(node)] and self.deploys(node)
        cleans = step in vocabulary.CLEAN_STEPS[way_of(node)] and self._is_in(self._cleaned, node)
        return deploys or cleans

    def deploys(self, node: OneNode) -> bool:
        return self._is_in(self._deployed, node)

    def _is_in(self, nodes: set[str], node: OneNode) -> bool:
        return node.name in nodes or ANYWHERE in nodes

    # --- requests ------------------------------------------------------------------------------

    def _is_made(self, request: RequestPart) -> bool:
        own = request.delete if isinstance(request, DeletePart) else ""
        own = request.rebuild if isinstance(request, RebuildPart) else own
        if not self._comes(request.when, own):
            return False
        match request:
            case DeployPart(deploy="all"):
                self._given |= {f"i-{node.name}" for node in self._nodes}
                self._deployed.add(ANYWHERE)
            case DeployPart():
                self._give(request.as_ or f"i-{request.deploy}")
            case DeletePart(delete="all"):
                for instance in self._instances:
                    self._take(instance)
            case DeletePart():
                self._take(own)
            case RebuildPart():
                self._take(own)
                self._give(f"{own}-2")
        return True

    def _give(self, instance: str) -> None:
        node = self._instances.get(instance, ANYWHERE)
        self._given.add(instance)
        self._deployed.add(node)
        # It may leave a bad node for another one, and the bad one is cleaned.
        if node == ANYWHERE and len(self._nodes) > 1:
            self._cleaned.add(ANYWHERE)

    def _take(self, instance: str) -> None:
        self._taken.add(instance)
        self._cleaned.add(self._instances.get(instance, ANYWHERE))

    def _comes(self, when: When, own: str) -> bool:
        """What is unknown does: it is told elsewhere."""
        if when.state is not None:
            instance = when.instance or own
            return instance not in self._instances or self.state(instance, when.state)
        step = step_of(when)
        nodes = (node for node in self._nodes if when.node in (None, node.name)) if step else ()
        able = [node for node in nodes if step in steps_of(node)]
        return not able or any(self.step(step, node) for node in able)


def step_of(when: When) -> str:
    """The step of a node without which the moment never comes; empty: it needs none."""
    if when.step is not None:
        return when.step
    event = when.event or when.per or ""
    source = event.partition(".")[0]
    step = str(when.detail.get("step", "")) if source == "step" else ""
    if step in vocabulary.ENROL_STEPS:
        return ""
    return step or vocabulary.DURING.get(event) or vocabulary.DURING.get(source, "")


def way_of(node: OneNode) -> str:
    """How it gets its root."""
    return "tilera" if node.boot == "tilera" else node.deploy


def steps_of(node: OneNode) -> frozenset[str]:
    """Of all its plans, asked for or not."""
    return _STEPS[way_of(node)]

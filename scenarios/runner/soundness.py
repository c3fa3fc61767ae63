"""What has to be true of a scenario's parts together before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fixtures.images.images import IMAGES
from provisioner.core.failures import FAILURES
from scenarios.runner.deadlines import WITHIN
from scenarios.runner.model.contents import LIBRARY
from scenarios.runner.parts import (
    DeletePart,
    DeployPart,
    ExpectPart,
    MaintenancePart,
    PowerPart,
    RebuildPart,
    RequestPart,
    When,
)
from scenarios.runner.sound_faults import SoundFaults
from scenarios.runner.sound_moments import SoundMoments
from scenarios.runner.sound_rack import CHOSEN, Problem, listed, rack_problems
from scenarios.runner.stage import Fidelity

if TYPE_CHECKING:
    from scenarios.runner.schema import Scenario

NODE_STATES: Sequence[str] = (
    *("available", "active", "deploy_failed", "clean_failed", "enrol_failed"),
    *("deploying", "cleaning"),
)
INSTANCE_STATES: Sequence[str] = ("active", "error", "deleted", "refused")


def problems(scenario: Scenario) -> Iterator[Problem]:
    if len(set(scenario.fidelities)) < len(scenario.fidelities):
        yield ("fidelities",), "one of them is given twice: leave it out"
    yield from rack_problems(scenario)
    moments = SoundMoments(scenario)
    known, faults = _Known(scenario, moments), SoundFaults(scenario, moments)
    for index, request in enumerate(scenario.requests):
        for place, told in known.request_problems(request):
            yield ("requests", index, *place), told
    for index, fault in enumerate(scenario.faults):
        for place, told in faults.problems(fault):
            yield ("faults", index, *place), told
    for index, expected in enumerate(scenario.expect):
        for place, told in known.expect_problems(expected):
            yield ("expect", index, *place), told
    for index, differs in enumerate(scenario.differs):
        if len(scenario.fidelities) < 2:
            told = "played at one fidelity, nothing can differ: leave it out, or change fidelities"
            yield ("differs", index), told
        if differs.node is not None and differs.node not in scenario.node_names:
            told = f"the rack has no node {differs.node}; {listed(scenario.node_names)}"
            yield ("differs", index, "node"), told


class _Known:
    """What the scenario's names stand for."""

    def __init__(self, scenario: Scenario, moments: SoundMoments) -> None:
        self._scenario = scenario
        self._moments = moments
        self._nodes = frozenset(scenario.node_names)
        self._instances = frozenset(scenario.deployed)
        self._deployed: set[str] = set()
        self._refused = {one.instance for one in scenario.expect if one.state == "refused"}

    # --- requests ------------------------------------------------------------------------------

    def request_problems(self, request: RequestPart) -> Iterator[Problem]:
        own = ""
        match request:
            case DeployPart():
                yield from self._deploy_problems(request)
            case DeletePart(delete=instance) | RebuildPart(rebuild=instance):
                own = instance
                verb = "delete" if isinstance(request, DeletePart) else "rebuild"
                if not (instance == "all" and verb == "delete") and instance not in self._instances:
                    others = self._instances - {f"{instance}-2"}  # which would be made of it
                    yield (verb,), f"nothing deploys an instance {instance}; {listed(others)}"
                if isinstance(request, RebuildPart):
                    yield from self._rebuild_problems(request)
            case PowerPart(power=node) | MaintenancePart(maintenance=node):
                verb = "power" if isinstance(request, PowerPart) else "maintenance"
                yield from self._node_problems(node, verb)
        for place, told in self._moments.problems(request.when, own):
            yield ("when", *place), told

    def _deploy_problems(self, request: DeployPart) -> Iterator[Problem]:
        if request.deploy not in CHOSEN:
            yield from self._node_problems(request.deploy, "deploy")
        if request.deploy == "any" and request.as_ is None:
            yield ("deploy",), "any needs as: a name for the instance"
        if request.deploy == "all" and request.as_ is not None:
            yield ("as",), "with deploy: all instances are called i-NODE: leave as out"
        if request.deploy != "all" and request.spread_s:
            yield ("spread_s",), "one deploy can't be spread: it is for deploy: all"
        if request.deploy == "all":
            names = {f"i-{node}" for node in self._nodes}
        else:
            names = {request.as_ or f"i-{request.deploy}"}
        if twice := names & self._deployed:
            yield (
                ("deploy",),
                f"an instance {min(twice)} is deployed already: give this one another name by as",
            )
        self._deployed |= names
        yield from self._image_problems(request.image)
        if (content := LIBRARY.get(request.image)) is not None and not names <= self._refused:
            for node in self._scenario.rack.node_list:
                if request.deploy in (node.name, "all") and node.arch != content.arch:
                    told = f"{request.image} is for {content.arch}, and {node.name} is {node.arch}"
                    yield ("image",), f"{told}: take another, or expect the instance to be refused"

    def _rebuild_problems(self, request: RebuildPart) -> Iterator[Problem]:
        anew = f"{request.rebuild}-2"
        if anew in self._deployed:
            yield ("rebuild",), f"an instance {anew} is deployed already: rebuild that one"
        self._deployed.add(anew)
        if request.image is not None:
            yield from self._image_problems(request.image)

    def _image_problems(self, image: str) -> Iterator[Problem]:
        modelled = Fidelity.MODEL in self._scenario.fidelities
        known = [name for name in IMAGES if name in LIBRARY or not modelled]
        if image not in known:
            told = f"there is no image {image}" if image not in IMAGES else f"models know no image {image}"
            yield ("image",), f"{told}; there are {', '.join(known)}"

    def _node_problems(self, node: str, field: str) -> Iterator[Problem]:
        if node not in self._nodes:
            yield (field,), f"the rack has no node {node}; {listed(self._nodes)}"

    # --- expectations --------------------------------------------------------------------------

    def expect_problems(self, expected: ExpectPart) -> Iterator[Problem]:
        subjects = [name for name in ("instance", "node", "event") if getattr(expected, name) is not None]
        if "event" in subjects:
            yield from self._count_problems(expected)
        elif len(subjects) != 1:
            yield (), "an expectation is about one of: an instance, a node, an event"
            return
        elif expected.node is not None:
            yield from self._node_problems(expected.node, "node")
        if expected.instance is not None and expected.instance not in self._instances:
            told = f"nothing deploys an instance {expected.instance}; {listed(self._instances)}"
            yield ("instance",), told
        yield from self._state_problems(expected)

    def _count_problems(self, expected: ExpectPart) -> Iterator[Problem]:
        counted = When(event=expected.event, node=expected.node, detail=expected.detail)
        unknown = list(self._moments.unknown(counted))
        yield from unknown
        if expected.at_least is None and expected.at_most is None:
            yield ("event",), "how many? add at_least or at_most"
        elif expected.at_least and not unknown:
            yield from self._moments.never(counted)
        if expected.at_most is not None and expected.at_most < (expected.at_least or 0):
            told = f"nothing is seen {expected.at_least} times at least and so seldom: write a larger at_most"
            yield ("at_most",), told

    def _state_problems(self, expected: ExpectPart) -> Iterator[Problem]:
        if expected.event is not None:
            return
        states = NODE_STATES if expected.node is not None else INSTANCE_STATES
        if expected.state not in states:
            yield ("state",), f"is to be one of {', '.join(states)}"
        if expected.within is not None and (
            expected.node is None or WITHIN[expected.within] != expected.state
        ):
            bounded = WITHIN[expected.within]
            yield ("within",), f"{expected.within} bounds a node that becomes {bounded}: leave it out here"
        told_of_failure = expected.failure or expected.cause or expected.last_proven
        if told_of_failure and not (expected.instance and expected.state == "error"):
            yield (), "failure, cause and last_proven are of an instance whose state is error"
        if not any(expected.failure in code for code in FAILURES):
            yield ("failure",), f"no failure has the code {expected.failure}; docs/failures.md lists them"

"""What has to be true of a scenario's parts together before anything is started."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import BadFault
from fixtures.images.images import IMAGES
from scenarios.runner import vocabulary
from scenarios.runner.deadlines import WITHIN
from scenarios.runner.model.contents import LIBRARY
from scenarios.runner.parts import (
    DeletePart,
    DeployPart,
    ExpectPart,
    FaultPart,
    MaintenancePart,
    PowerPart,
    RebuildPart,
    RequestPart,
    When,
)
from scenarios.runner.sound_moments import after_all_has_healed, of_no_device, of_one_that_stays
from scenarios.runner.sound_rack import CHOSEN, Problem, rack_problems, without_its_store
from scenarios.runner.stage import Fidelity
from scenarios.runner.switched_by import unfit, unfit_for

if TYPE_CHECKING:
    from scenarios.runner.schema import Scenario

NODE_STATES: Sequence[str] = (
    *("available", "active", "deploy_failed", "clean_failed", "enrol_failed"),
    *("deploying", "cleaning"),
)
INSTANCE_STATES: Sequence[str] = ("active", "error", "deleted", "refused")


def problems(scenario: Scenario) -> Iterator[Problem]:
    yield from rack_problems(scenario)
    known = _Known(scenario)
    for index, request in enumerate(scenario.requests):
        for place, told in known.request_problems(request):
            yield ("requests", index, *place), told
    for index, fault in enumerate(scenario.faults):
        for place, told in known.fault_problems(fault):
            yield ("faults", index, *place), told
    for index, expected in enumerate(scenario.expect):
        for place, told in known.expect_problems(expected):
            yield ("expect", index, *place), told
    for index, differs in enumerate(scenario.differs):
        if len(scenario.fidelities) < 2:
            told = "played at one fidelity, nothing can differ: leave it out, or change fidelities"
            yield ("differs", index), told
        if differs.node is not None and differs.node not in scenario.node_names:
            told = f"the rack has no node {differs.node}; {_some(scenario.node_names)}"
            yield ("differs", index, "node"), told


class _Known:
    """What the scenario's names stand for."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._nodes = frozenset(scenario.node_names)
        self._instances = frozenset(scenario.deployed)
        self._deployed: set[str] = set()
        self._refused = {one.instance for one in scenario.expect if one.state == "refused"}
        self._cleans = any(isinstance(one, DeletePart | RebuildPart) for one in scenario.requests)
        self._deploys = any(isinstance(one, DeployPart) for one in scenario.requests)

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
                    yield (verb,), f"nothing deploys an instance {instance}; {_some(self._instances)}"
                if isinstance(request, RebuildPart):
                    yield from self._rebuild_problems(request)
            case PowerPart(power=node) | MaintenancePart(maintenance=node):
                verb = "power" if isinstance(request, PowerPart) else "maintenance"
                yield from self._node_problems(node, verb)
        yield from self._moment_problems(request.when, "when", own)

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
            yield ("image",), f"there is no image {image}; there are {', '.join(known)}"

    def _node_problems(self, node: str, field: str) -> Iterator[Problem]:
        if node not in self._nodes:
            yield (field,), f"the rack has no node {node}; {_some(self._nodes)}"

    # --- moments -------------------------------------------------------------------------------

    def _moment_problems(self, when: When, field: str, own_instance: str = "") -> Iterator[Problem]:
        if when.node is not None:
            for _, told in self._node_problems(when.node, "node"):
                yield (field, "node"), told
        try:
            if when.event is not None:
                vocabulary.split(when.event)
            if when.per not in (None, "step", "command"):
                vocabulary.split(when.per or "")
        except ValueError as error:
            yield (field, "event" if when.event else "per"), str(error)
        for told in self._unseen(when.event or when.per or ""):
            yield (field, "event" if when.event else "per"), told
        if when.command is not None and when.command not in vocabulary.COMMANDS:
            told = f"a BMC knows no {when.command}; it knows {', '.join(vocabulary.COMMANDS)}"
            yield (field, "command"), told
        if when.step is not None:
            yield from (((field, "step"), told) for told in self._step_problems(when.step, when.node))
        if told := of_no_device(self._scenario, when):
            yield (field, when.kind), told
        if when.state is not None:
            yield from self._told_problems(when, field, own_instance)

    def _told_problems(self, when: When, field: str, own_instance: str) -> Iterator[Problem]:
        instance = when.instance or own_instance
        if not instance:
            yield (field, "state"), "of which instance? add instance: NAME"
        elif instance == "all":
            if own_instance != "all":
                yield (field, "instance"), "all is for delete: all, each for itself: name one instance"
        elif instance not in self._instances:
            told = f"nothing deploys an instance {instance}; {_some(self._instances)}"
            yield (field, "instance"), told
        elif when.state == "deleted" and (told := of_one_that_stays(self._scenario, instance)):
            yield (field, "state"), told

    def _unseen(self, event: str) -> Iterator[str]:
        for alone, events in vocabulary.SEEN_BY_ONE.items():
            others = [fidelity for fidelity in self._scenario.fidelities if fidelity != alone]
            if event in events and others:
                yield f"{event} is never seen at fidelity {others[0]}: take another, or change fidelities"

    def _step_problems(self, step: str, node: str | None) -> Iterator[str]:
        of = {node} if node in self._nodes else self._nodes
        nodes = [one for one in self._scenario.rack.node_list if one.name in of]
        ways = {"tilera" if one.boot == "tilera" else one.deploy for one in nodes}
        deploying = frozenset[str]().union(*(vocabulary.DEPLOY_STEPS[way] for way in ways))
        cleaning = frozenset[str]().union(*(vocabulary.CLEAN_STEPS[way] for way in ways))
        deploy, clean = step in deploying, step in cleaning
        if not deploy and not clean:
            known = sorted(deploying | cleaning)
            yield f"no plan has a step {step}; the steps are {', '.join(known)}"
        elif not (deploy and self._deploys) and not (clean and self._cleans):
            yield f"{step} never begins: nothing here is {'deleted' if clean else 'deployed'}"

    # --- faults --------------------------------------------------------------------------------

    def fault_problems(self, fault: FaultPart) -> Iterator[Problem]:
        yield from self._moment_problems(fault.when, "when")
        if fault.heal is not None:
            yield from self._moment_problems(fault.heal, "heal")
        if fault.do not in CATALOGUE:
            yield ("do",), f"there is no fault {fault.do}; `bmsim fault ls` lists them"
            return
        known = CATALOGUE[fault.do]
        for fidelity in self._scenario.fidelities:
            if fidelity not in known.fidelities:
                can = ", ".join(sorted(known.fidelities)) or "no fidelity yet"
                told = f"{fault.do} can't be injected at fidelity {fidelity} ({can}): change fidelities"
                yield ("do",), told
        try:
            known.completed(fault.with_)
        except BadFault as error:
            yield ("with",), str(error)
        yield from self._target_problems(fault, known.strikes)
        if told := self._unfit(fault):
            yield ("do",), told
        if told := after_all_has_healed(self._scenario, fault.when):
            yield ("when", "at_s"), told
        if told := without_its_store(self._scenario, fault):
            yield ("do",), told

    def _unfit(self, fault: FaultPart) -> str:
        """Of the node that it strikes, or of any that may be of its share."""
        struck, at = self._scenario.node_of(fault), str(fault.with_.get("at", ""))
        nodes = [one for one in self._scenario.rack.node_list if fault.share or one.name == struck]
        told = (
            unfit(fault.do, one.name, one.power) or unfit_for(fault.do, one.name, one.firmware, at)
            for one in nodes
        )
        return next(filter(None, told), "")

    def _target_problems(self, fault: FaultPart, strikes: str) -> Iterator[Problem]:
        target, hosts = fault.target, self._scenario.rack.host_names
        if fault.share is not None:
            yield from self._share_problems(fault, strikes)
            return
        if strikes == "host":
            if target not in (None, "owner", *hosts):
                yield ("target",), f"{fault.do} strikes a compute host: {', '.join(hosts)}, or owner"
            if target is None and len(hosts) > 1:
                yield ("target",), f"which compute host? add target: {', '.join(hosts)}, or owner"
            if target == "owner" and not self._scenario.node_of(fault):
                yield ("target",), "the owner of which node? name the node in when"
        elif strikes == "image":
            if target is not None and target not in self._scenario.images:
                yield ("target",), f"no deploy uses an image {target}; {_some(self._scenario.images)}"
            if target is None and len(self._scenario.images) > 1:
                yield ("target",), f"which image? add target: {', '.join(self._scenario.images)}"
            if fault.when.at_s != 0:
                yield ("when",), "images are fetched before the story begins, and never again: leave when out"
        elif target is not None:
            yield from self._node_problems(target, "target")
        elif strikes == "node" and not self._scenario.node_of(fault):
            yield ("target",), f"{fault.do} strikes a node: add target: NODE, or name one in when"

    def _share_problems(self, fault: FaultPart, strikes: str) -> Iterator[Problem]:
        if strikes != "node":
            yield ("share",), f"{fault.do} strikes no node: leave share out"
        if fault.target is not None or fault.when.node is not None:
            yield ("share",), "a share of the nodes and one node are both named: leave one out"
        if fault.when.kind == "state":
            yield (
                ("when", "state"),
                "a share needs a moment that each node has: a step, command or event",
            )

    # --- expectations --------------------------------------------------------------------------

    def expect_problems(self, expected: ExpectPart) -> Iterator[Problem]:
        subjects = [name for name in ("instance", "node", "event") if getattr(expected, name) is not None]
        if "event" in subjects:
            yield from self._count_problems(expected)
        elif len(subjects) != 1:
            yield (), "an expectation is about one of: an instance, a node, an event"
            return
        if expected.node is not None:
            yield from self._node_problems(expected.node, "node")
        if expected.instance is not None and expected.instance not in self._instances:
            told = f"nothing deploys an instance {expected.instance}; {_some(self._instances)}"
            yield ("instance",), told
        yield from self._state_problems(expected)

    def _count_problems(self, expected: ExpectPart) -> Iterator[Problem]:
        try:
            vocabulary.split(expected.event or "")
        except ValueError as error:
            yield ("event",), str(error)
        yield from ((("event",), told) for told in self._unseen(expected.event or ""))
        if expected.at_least is None and expected.at_most is None:
            yield ("event",), "how many? add at_least or at_most"

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


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return f"there are {', '.join(listed[:8])}{', …' if listed[8:] else ''}" if listed else "there is none"

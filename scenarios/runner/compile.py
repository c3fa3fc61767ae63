"""From a scenario as it is written to a story as it is played: names resolved, defaults filled in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import Strikes
from scenarios.runner import vocabulary
from scenarios.runner.addresses import numbered_host, numbered_node
from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.parts import (
    DeletePart,
    DeployPart,
    ExpectPart,
    FaultPart,
    MaintenancePart,
    OneNode,
    PowerPart,
    RebuildPart,
    RequestPart,
    When,
)
from scenarios.runner.schema import Scenario
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import (
    AtTime,
    ByChance,
    Counted,
    Delete,
    Deploy,
    Expected,
    Maintenance,
    Moment,
    OnEvent,
    OnTold,
    Power,
    Request,
    Story,
    StoryNode,
    Strike,
)


def story_of(scenario: Scenario, fidelity: Fidelity, seed: int) -> Story:
    """Equal for equal scenarios and seeds."""
    strikes = tuple(_strikes(scenario, seed))
    must = (strike for strike in strikes if not strike.may_miss)
    return Story(
        name=scenario.name,
        hosts=tuple(numbered_host(number) for number in range(1, scenario.rack.compute_hosts + 1)),
        nodes=tuple(_node(number, node) for number, node in enumerate(scenario.rack.node_list, 1)),
        requests=tuple(_requests(scenario)),
        strikes=strikes,
        expected=(
            *map(_expected, scenario.expect),
            *(
                Expected(struck=fault, node=node, times=times)
                for (fault, node), times in Counter((one.fault, _struck(one)) for one in must).items()
            ),
        ),
        images=scenario.images,
        safety_s=DEADLINES[fidelity].safety_s if scenario.safety_s is None else scenario.safety_s,
        struck_may_fail=scenario.struck_may_fail,
    )


def _node(number: int, node: OneNode) -> StoryNode:
    return numbered_node(
        number,
        node.name,
        arch=node.arch,
        firmware=node.firmware,
        power=node.power,
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        disk_mib=node.disk_mib,
        deploy=node.deploy,
    )


# --- requests -------------------------------------------------------------------------------------


def _requests(scenario: Scenario) -> Iterator[Request]:
    for request in scenario.requests:
        yield from _request(scenario, request)


def _request(scenario: Scenario, request: RequestPart) -> Iterable[Request]:
    match request:
        case DeployPart(deploy="all"):
            return _deploy_all(scenario, request)
        case DeployPart(deploy="any"):
            return [_deploy(request, request.as_ or "", "", moment(request.when))]
        case DeployPart(deploy=node):
            return [_deploy(request, request.as_ or f"i-{node}", node, moment(request.when))]
        case DeletePart(delete="all"):
            names = (name for name in scenario.deployed if not _is_rebuilt(scenario, name))
            return [Delete(instance=name, when=moment(request.when, name)) for name in names]
        case DeletePart(delete=name):
            return [Delete(instance=name, when=moment(request.when, name))]
        case RebuildPart():
            return _rebuild(scenario, request)
        case PowerPart():
            return [Power(node=request.power, verb=request.turn, when=moment(request.when))]
        case MaintenancePart():
            on = request.turn == "on"
            return [Maintenance(node=request.maintenance, on=on, when=moment(request.when))]


def _deploy(request: DeployPart, instance: str, node: str, when: Moment) -> Deploy:
    return Deploy(
        instance=instance,
        image=request.image,
        node=node,
        wipe=request.wipe,
        swap_mib=request.swap_mib,
        ephemeral_mib=request.ephemeral_mib,
        proof_of_life=request.proof_of_life,
        when=when,
    )


def _deploy_all(scenario: Scenario, request: DeployPart) -> Iterator[Deploy]:
    names = scenario.node_names
    for position, name in enumerate(names):
        when = moment(request.when)
        if isinstance(when, AtTime):
            when = AtTime(round(when.at_s + request.spread_s * position / len(names), 6))
        yield _deploy(request, f"i-{name}", name, when)


def _is_rebuilt(scenario: Scenario, instance: str) -> bool:
    return any(isinstance(one, RebuildPart) and one.rebuild == instance for one in scenario.requests)


def _rebuild(scenario: Scenario, request: RebuildPart) -> Iterator[Request]:
    """The new instance is asked for as soon as the old one is deleted, while its node is still cleaned."""
    old = request.rebuild
    before = _deployed(scenario, old)
    yield Delete(instance=old, when=moment(request.when, old))
    image = request.image or before.image
    yield replace(before, instance=f"{old}-2", image=image, when=OnTold(old, "deleted"))


def _deployed(scenario: Scenario, instance: str) -> Deploy:
    """How it is asked for; it may have been rebuilt from another."""
    asked = (
        made
        for request in scenario.requests
        if isinstance(request, DeployPart)
        or (isinstance(request, RebuildPart) and f"{request.rebuild}-2" == instance)
        for made in _request(scenario, request)
    )
    return next(made for made in asked if isinstance(made, Deploy) and made.instance == instance)


# --- moments --------------------------------------------------------------------------------------


def moment(when: When, instance: str = "") -> Moment:
    """instance: whose state is meant where the moment names none, or all: each for itself."""
    node = when.node or ""
    match when.kind:
        case "at_s":
            return AtTime(when.at_s or 0.0)
        case "step":
            name = "step.done" if when.done else "step.started"
            return OnEvent("step", name, node, when.nth, {"step": when.step}, when.after_s)
        case "command":
            return OnEvent("bmc", when.command or "", node, when.nth, dict(when.detail), when.after_s)
        case "event":
            source, name = vocabulary.split(when.event or "")
            return OnEvent(source, name, node, when.nth, dict(when.detail), when.after_s)
        case "state":
            named = when.instance if when.instance != "all" else ""
            return OnTold(named or instance, str(when.state), when.nth, when.after_s)
        case _:
            source, name = _per(when.per or "")
            return ByChance(when.probability or 0.0, source, name, node)


def _per(per: str) -> tuple[str, str]:
    if per == "step":
        return "step", "step.started"
    return ("bmc", "") if per == "command" else vocabulary.split(per)


# --- faults, expectations -------------------------------------------------------------------------


def _strikes(scenario: Scenario, seed: int) -> Iterator[Strike]:
    for position, fault in enumerate(scenario.faults):
        if fault.share is None:
            yield _strike(scenario, fault, scenario.node_of(fault), fault.when)
            continue
        names = scenario.node_names
        number = max(1, round(fault.share * len(names)))
        for name in Random(f"{seed}:share:{position}").sample(names, number):
            of_node = {} if fault.when.kind == "at_s" else {"node": name}
            yield _strike(scenario, fault, name, fault.when.model_copy(update=of_node))


def _strike(scenario: Scenario, fault: FaultPart, node: str, when: When) -> Strike:
    return Strike(
        fault=fault.do,
        node=node,
        host=scenario.host_of(fault),
        image=scenario.image_of(fault),
        parameters=CATALOGUE[fault.do].completed(fault.with_),
        when=moment(when),
        heal_after_s=fault.heal_after_s,
        heal_when=None if fault.heal is None else moment(fault.heal),
        # What is left to chance may not come to pass.
        may_miss=fault.may_miss or fault.when.probability is not None,
    )


def _struck(strike: Strike) -> str:
    """The node at which it is seen, if it is one."""
    return strike.node if CATALOGUE[strike.fault].strikes is Strikes.NODE else ""


def _expected(expected: ExpectPart) -> Expected:
    if expected.event is not None:
        source, name = vocabulary.split(expected.event)
        event = OnEvent(source, name, expected.node or "", detail=dict(expected.detail))
        return Expected(counted=Counted(event, expected.at_least or 0, expected.at_most))
    if expected.node is not None:
        return Expected(node=expected.node, state=expected.state or "", within=expected.within or "")
    return Expected(
        instance=expected.instance or "",
        outcome=expected.state or "",
        failure=expected.failure,
        cause=expected.cause,
        last_proven=expected.last_proven,
    )

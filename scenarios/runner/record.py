"""A story that was made up, written down as a scenario file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner.client import boot_driver
from scenarios.runner.story import (
    AtTime,
    ByChance,
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


def recorded(story: Story, *, seed: int, why: str, source: str, name: str = "") -> str:
    """YAML of a scenario that compiles to the same story, but for its name where another is given."""
    scenario: dict[str, Any] = {
        "name": name or story.name,
        "why": why,
        "source": source,
        "seed": seed,
        "rack": {"compute_hosts": len(story.hosts), "nodes": [_node(node) for node in story.nodes]},
        "requests": [_request(request) for request in story.requests],
        "faults": [_fault(strike) for strike in story.strikes],
        "expect": [_expectation(one) for one in story.expected if not one.struck],
        "safety_s": story.safety_s,
    }
    if story.struck_may_fail:
        scenario["struck_may_fail"] = True
    return yaml.safe_dump(scenario, sort_keys=False, allow_unicode=True, width=100)


def _node(node: StoryNode) -> dict[str, Any]:
    said = {
        "arch": (node.arch, "x86_64"),
        "firmware": (node.firmware, "bios"),
        "boot": (boot_driver(node), "ipxe"),
        "power": (node.power, "ipmi"),
        "cpus": (node.cpus, 1),
        "memory_mib": (node.memory_mib, 1024),
        "disk_mib": (node.disk_mib, 2048),
        "deploy": (node.deploy, "iscsi"),
    }
    return {"name": node.name, **{key: value for key, (value, usual) in said.items() if value != usual}}


def _request(request: Request) -> dict[str, Any]:
    match request:
        case Deploy():
            row: dict[str, Any] = {"deploy": request.node or "any", "as": request.instance}
            row["image"] = request.image
            if request.wipe != "quick":
                row["wipe"] = request.wipe
            if request.swap_mib:
                row["swap_mib"] = request.swap_mib
            if request.ephemeral_mib:
                row["ephemeral_mib"] = request.ephemeral_mib
            if request.proof_of_life:
                row["proof_of_life"] = list(request.proof_of_life)
        case Delete():
            row = {"delete": request.instance}
        case Power():
            row = {"power": request.node, "turn": request.verb}
        case Maintenance():
            row = {"maintenance": request.node, "turn": "on" if request.on else "off"}
    return row | {"when": _moment(request.when)}


def _fault(strike: Strike) -> dict[str, Any]:
    when = _moment(strike.when)
    target = {
        "host": "owner" if strike.host == "owner" else strike.host,
        "image": strike.image,
    }.get(CATALOGUE[strike.fault].strikes, strike.node)
    row: dict[str, Any] = {"do": strike.fault}
    if target:
        row["target"] = target
    usual = CATALOGUE[strike.fault].completed({})
    given = {name: value for name, value in strike.parameters.items() if value != usual[name]}
    if given:
        row["with"] = given
    row["when"] = when
    if strike.heal_after_s is not None:
        row["heal_after_s"] = strike.heal_after_s
    if strike.heal_when is not None:
        row["heal"] = _moment(strike.heal_when)
    if strike.may_miss:
        row["may_miss"] = True
    return row


def _moment(moment: Moment) -> dict[str, Any]:
    return {key: value for key, value in _words(moment) if value not in ("", {}, None)}


def _words(moment: Moment) -> Iterator[tuple[str, Any]]:
    match moment:
        case AtTime():
            yield "at_s", moment.at_s
        case OnTold():
            yield from (("instance", moment.name), ("state", moment.state))
            yield from _which(moment)
        case ByChance():
            yield from (("probability", moment.probability), ("per", _per(moment)), ("node", moment.node))
        case OnEvent(source="step", name="step.started" | "step.done"):
            yield from (("node", moment.node), ("step", moment.detail.get("step")))
            yield "done", True if moment.name == "step.done" else None
            yield from _which(moment)
        case OnEvent():
            command = moment.source == "bmc"
            yield "node", moment.node
            yield ("command", moment.name) if command else ("event", f"{moment.source}.{moment.name}")
            yield "detail", dict(moment.detail)
            yield from _which(moment)


def _which(moment: OnEvent | OnTold) -> Iterator[tuple[str, Any]]:
    yield "nth", moment.nth if moment.nth > 1 else None
    yield "after_s", moment.after_s or None


def _per(moment: ByChance) -> str:
    if moment.source == "step":
        return "step"
    return f"{moment.source}.{moment.name}" if moment.name else "command"


def _expectation(expected: Expected) -> Mapping[str, Any]:
    if expected.counted is not None:
        event = expected.counted.event
        bounds = {"at_least": expected.counted.at_least, "at_most": expected.counted.at_most}
        row: dict[str, Any] = {"event": f"{event.source}.{event.name}", "node": event.node or None}
        row |= {"detail": dict(event.detail) or None, **bounds}
    else:
        row = {"instance": expected.instance, "node": expected.node}
        row |= {"state": expected.outcome or expected.state, "failure": expected.failure}
        row |= {"cause": expected.cause, "last_proven": expected.last_proven, "within": expected.within}
    return {key: value for key, value in row.items() if value not in ("", None)}

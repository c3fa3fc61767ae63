"""A scenario told in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner.compile import story_of
from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.parts import DiffersPart
from scenarios.runner.schema import Scenario
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
    StoryNode,
    Strike,
)

SHOWN = 20
"""Nodes and requests of a list that are told; the rest is counted."""


def in_words(scenario: Scenario) -> str:
    story = story_of(scenario, scenario.fidelities[0], scenario.seed)
    lines = [scenario.name, f"guards: {scenario.why}", f"seen: {scenario.source}"]
    lines.append(f"plays at {' and '.join(scenario.fidelities)}, seed {scenario.seed}")
    hosts = ", ".join(scenario.rack.host_names)
    lines += ["", f"A rack of {_counted(len(story.nodes), 'node')}, with compute hosts {hosts}:"]
    lines += _some(
        f"{node.name}: {node.arch} {node.firmware}, {_counted(node.cpus, 'CPU')}, "
        f"{node.memory_mib} MiB of memory, {node.disk_mib} MiB of disk, MAC {node.mac}, {_switched_by(node)}"
        f"{', root by NFS' if node.by_nfs else ''}"
        for node in story.nodes
    )
    lines += ["", "What is asked:", *_some(map(_asked, story.requests))]
    if story.strikes:
        lines += ["", "What breaks:", *_some(map(_breaks, story.strikes))]
    lines += ["", "What is expected, besides what holds in every story:"]
    lines += _some(_expected(one) for one in story.expected)
    if story.struck_may_fail:
        lines.append("  a deploy to a node that a fault of its own struck may fail, if its failure is told")
    if scenario.differs:
        lines += ["", "What one fidelity alone tells:", *_some(map(_differs, scenario.differs)), ""]
    for fidelity in scenario.fidelities:
        row = DEADLINES[fidelity]
        safety_s = row.safety_s if scenario.safety_s is None else scenario.safety_s
        lines.append(
            f"At {fidelity} all heals after {safety_s:g} s at the latest; then a deploy has "
            f"{row.deploy_s:g} s, a deletion {row.clean_s:g} s."
        )
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _switched_by(node: StoryNode) -> str:
    if not node.feeds:
        return f"BMC {node.bmc_address}"
    return " and ".join(
        f"outlet {feed.outlet} of PDU {feed.pdu.name} ({feed.pdu.family}, {feed.pdu.address})"
        for feed in node.feeds
    )


def _some(lines: Iterator[str]) -> Iterator[str]:
    every = list(lines)
    for line in every[:SHOWN]:
        yield textwrap.indent(line, "  ")
    if every[SHOWN:]:
        yield f"  and {len(every) - SHOWN} more of the kind"


def _asked(request: Request) -> str:
    match request:
        case Deploy():
            where = f"to {request.node}" if request.node else "to a node that the scheduler chooses"
            what = f"deploy {request.instance} from image {request.image} {where}, {request.wipe} wipe"
            what += f", {request.swap_mib} MiB of swap" if request.swap_mib else ""
            what += f", {request.ephemeral_mib} MiB of ephemeral storage" if request.ephemeral_mib else ""
            what += f", proven by {' or '.join(request.proof_of_life)}" if request.proof_of_life else ""
        case Delete():
            what = f"delete {request.instance}"
        case Power():
            what = f"power {request.verb} {request.node}"
        case Maintenance():
            what = f"maintenance of {request.node} {'on' if request.on else 'off'}"
    return f"{moment_in_words(request.when)}: {what}"


def moment_in_words(moment: Moment) -> str:
    match moment:
        case AtTime():
            return f"at {moment.at_s:g} s"
        case OnTold():
            return f"when {moment.name} is told to be {moment.state}{_which(moment)}"
        case ByChance():
            of = f" of {moment.node}" if moment.node else ""
            return (
                f"with probability {moment.probability:g} at each {moment.source} {moment.name}{of}".rstrip()
            )
        case OnEvent():
            of = f" of {moment.node}" if moment.node else ""
            detail = "".join(f", {key} {value}" for key, value in moment.detail.items())
            return f"at {moment.source} {moment.name}{of}{detail}{_which(moment)}"


def _which(moment: OnEvent | OnTold) -> str:
    nth = f", the {moment.nth}. time" if moment.nth > 1 else ""
    return nth + (f", {moment.after_s:g} s later" if moment.after_s else "")


def _breaks(strike: Strike) -> str:
    fault = CATALOGUE[strike.fault]
    target = strike.host or strike.image or strike.node or "the rack"
    if strike.host == "owner":
        target = f"the owner of {strike.node}"
    given = ", ".join(f"{key} {value}" for key, value in strike.parameters.items() if value is not None)
    heals = "when everything heals"
    if strike.heal_after_s is not None:
        heals = f"after {strike.heal_after_s:g} s"
    elif strike.heal_when is not None:
        heals = moment_in_words(strike.heal_when)
    what = f"{strike.fault} strikes {target}: {fault.what}"
    misses = "; the story counts without it too" if strike.may_miss else ""
    return f"{moment_in_words(strike.when)}: {what}{f' ({given})' if given else ''}; heals {heals}{misses}"


def _expected(expected: Expected) -> str:
    if expected.struck:
        at = f" at {expected.node}" if expected.node else ""
        times = f", {expected.times} times" if expected.times > 1 else ""
        return f"{expected.struck} changes something{at}{times}, else the story proves nothing"
    if expected.counted is not None:
        event, most = expected.counted.event, expected.counted.at_most
        bounds = f"at least {expected.counted.at_least}" + (
            f" and at most {most}" if most is not None else ""
        )
        return (
            f"{event.source} {event.name}{f' of {event.node}' if event.node else ''} is seen {bounds} times"
        )
    if expected.node:
        within = f", within the {expected.within.replace('_', ' ')}" if expected.within else ""
        return f"node {expected.node} ends {expected.state}{within}"
    told = {"failure": expected.failure, "cause": expected.cause, "last proven": expected.last_proven}
    parts = "".join(f", {key} {value!r}" for key, value in told.items() if value)
    return f"instance {expected.instance} ends {expected.outcome}{parts}"


def _differs(part: DiffersPart) -> str:
    of = f" of {part.node}" if part.node else ""
    return f"{part.what}{of} at {part.only} alone: {part.why}"

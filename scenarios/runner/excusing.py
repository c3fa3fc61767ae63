"""Failed deploys that a story excuses which says `struck_may_fail`: a sound provisioner fails them, too. The
same explains why a deploy is given up on one node and moves to another, in any story."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import Strikes
from scenarios.runner.story import Story, StoryNode
from scenarios.runner.trace import Trace

AT_ONCE: Mapping[str, tuple[str, ...]] = {
    "wrong-credentials": ("bmc",),
    "boot-stopped": ("boot", "node"),
    **dict.fromkeys(("disk-missing", "disk-too-small", "disk-error", "not-a-disk"), ("disk",)),
    **dict.fromkeys(("no-partition-table", "partitioning-failed", "config-drive-differs"), ("disk",)),
    **dict.fromkeys(("file-system-damaged", "not-grown", "ephemeral-failed", "swap-failed"), ("disk",)),
}
"""Code of a failure that trying again doesn't change → families of faults that may have brought it about."""

AFTER_STARTS = ("agent-never-reported", "instance-never-seen")
"""Failures of nodes that were started twice, and not seen."""

AFTER_RETRIES = (
    *("device-unreachable", "device-left-alone", "device-busy", "agent-lost"),
    *("write-failed", "image-differs-on-disk", "storage-full", "transient"),
)
"""Failures that may pass: nobody has failed before all retries are used up."""

RETRIES: Mapping[str, int] = {"iscsi": 8, "nfs": 8, "tilera": 12}
CLEAN_RETRIES = 6
"""Of a deploy, by how its node gets its root, and of a cleaning. Not asked of the provisioner, which would
excuse itself."""


class _Work(NamedTuple):
    """The states of a node that it is done to."""

    acts: str
    waits: str


DEPLOY, CLEANING = _Work("deploying", "deploy_wait"), _Work("cleaning", "clean_wait")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The last one of a deploy, or a cleaning, that failed.

    owner: of the node, when it did
    retries, passed_on: how often it was begun anew before, by whoever had it, or by another host
    """

    node: str
    owner: str
    retries: int
    passed_on: int
    begun_s: float
    failed_s: float


def is_excused(story: Story, trace: Trace, instance: str, told_s: float) -> bool:
    """Whether trouble of the node's own struck it in its last attempt, also by a device that it shares with
    others, or its owner had no space left then; and all was tried that may help against such a failure. What
    befalls hosts, the store or the way between them and their nodes is the provisioner's to bear.

    told_s: when the client heard that it had failed
    """
    code, node = told_failure(trace, instance, told_s)
    return _is_explained(story, trace, node, code, told_s)


def is_refused_rightly(trace: Trace, image: str) -> bool:
    """Whether an image never came as it should, as far as its server tells: nobody may deploy it."""
    return any(
        (event.source, event.name, event.detail.get("image")) == ("fault", "struck", image) for event in trace
    )


def moves_without_reason(story: Story, trace: Trace) -> Iterator[str]:
    """A sentence for each deploy that was given up on a node, and left it for another one, where no trouble
    would have excused its failure there. Where it ends well after all nobody else asks."""
    for event in trace:
        if (event.source, event.name) != ("instance", "moved"):
            continue
        code = event.detail["failure"]
        if not _is_explained(story, trace, event.node, code, event.t_s):
            left = f"instance {event.detail['instance']} left {event.node} for another node ({code})"
            yield f"{left}, and nothing had befallen {event.node} that explains it, or not all was tried"


def _is_explained(story: Story, trace: Trace, node: str, code: str, told_s: float) -> bool:
    attempt = _last_attempt(node, DEPLOY, trace, told_s)
    if attempt is None or not _is_tried(code, attempt, RETRIES[_way(story.node(node))]):
        return False
    families = {CATALOGUE[fault].family for fault in _struck(trace, attempt)}
    if code in AT_ONCE:
        return not families.isdisjoint(AT_ONCE[code])
    if code == "storage-full" and _had_no_space(trace, attempt):
        return True
    return code in (*AFTER_STARTS, *AFTER_RETRIES) and bool(families)


def cleanings_given_up(trace: Trace) -> Iterator[str]:
    """A sentence for each cleaning that failed by what may pass, as the client was told, and wasn't tried as
    often as it may be. One that was, whatever befell anybody may have failed: it is done again."""
    for event in trace:
        if (event.source, event.name, event.detail.get("state")) == ("client", "node", "clean_failed"):
            attempt = _last_attempt(event.node, CLEANING, trace, event.t_s)
            code = event.detail.get("failure", "")
            if attempt is not None and not _is_tried(code, attempt, CLEAN_RETRIES):
                yield f"the cleaning of {event.node} failed ({code}) before all was tried that may help"


def _is_tried(code: str, attempt: _Attempt, retries: int) -> bool:
    if code in AFTER_STARTS:
        return attempt.retries + attempt.passed_on > 0
    return code not in AFTER_RETRIES or attempt.retries >= retries


def told_failure(trace: Trace, instance: str, told_s: float) -> tuple[str, str]:
    """The code that the client was told by then, and of which node; empty: none. What is told later may be of
    the node's cleaning."""
    failure = failed_at = node = ""
    for event in trace:
        if event.t_s > told_s:
            break
        if event.source == "client" and event.detail.get("instance") == instance:
            node = event.node or node  # one that left its node, and found no other, is nowhere
            if event.detail.get("failure"):
                failure, failed_at = event.detail["failure"], node
    return failure, failed_at


def _way(node: StoryNode) -> str:
    return "tilera" if node.is_tile else "nfs" if node.by_nfs else "iscsi"


def _last_attempt(node: str, work: _Work, trace: Trace, told_s: float) -> _Attempt | None:
    """None: it has not failed."""
    found: _Attempt | None = None
    owner = state = ""
    retries, passed_on, begun_s = 0, 0, 0.0
    for event in trace:
        if event.node != node or event.t_s > told_s:
            continue
        match event.source, event.name:
            case "lease", "owner":
                owner = event.detail["owner"]
            case "node", "state":
                before, state = state, event.detail["state"]
                # What begins when the client hears of a failure is the next one.
                if state == work.acts and before != work.waits and event.t_s < told_s:
                    found, retries, passed_on, begun_s = None, 0, 0, event.t_s
            case "step", "step.retry":
                retries, begun_s = retries + 1, event.t_s
            case "step", "step.passed_on":
                passed_on, begun_s = passed_on + 1, event.t_s
            case "step", "step.failed":
                found = _Attempt(node, owner, retries, passed_on, begun_s, event.t_s)
    return found


def _struck(trace: Trace, attempt: _Attempt) -> Iterator[str]:
    """The node's own faults that did something to it meanwhile. Of one that is given to another node, and
    strikes a device of both, that is told once: it goes on until it heals."""
    in_force: dict[tuple[str, str], bool] = {}  # fault, to whom it was given → it has struck this node
    for event in trace:
        if event.source != "fault" or event.t_s > attempt.failed_s:
            continue
        fault = event.detail["fault"]
        if CATALOGUE[fault].strikes is not Strikes.NODE:
            continue
        match event.name:
            case "injected":
                in_force[fault, event.node] = False
            case "healed":
                if in_force.pop((fault, event.node), False) and event.t_s >= attempt.begun_s:
                    yield fault
            case "struck" if event.node == attempt.node:
                if event.t_s >= attempt.begun_s:
                    yield fault
                for of, node in in_force:
                    if of == fault and node != attempt.node:
                        in_force[of, node] = True
    yield from (fault for (fault, _), struck in in_force.items() if struck)


def _had_no_space(trace: Trace, attempt: _Attempt) -> bool:
    return any(
        (event.source, event.name, event.sender) == ("fault", "struck", attempt.owner)
        and event.detail["fault"] == "host.disk_full"
        and attempt.begun_s <= event.t_s <= attempt.failed_s
        for event in trace
    )

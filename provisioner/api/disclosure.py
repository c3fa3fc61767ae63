"""What is told of an instance to whom. Nodes, and the devices that switch them, are for operators alone, and
so is what names one: a failure's sentence, a step's proof that a BMC gave. Others are told code, step, and
what all failures of that code have in common.

What is stored is one text, made from device and answer. So it is told whole or not at all: by lists of what
never comes of a power device. What is new, and in none of them, isn't told.
"""

from __future__ import annotations

from dataclasses import replace

from provisioner.core.failures import FAILURES
from provisioner.core.model import Failure, Instance, NodeRequest, RequestState, TimelineEvent
from provisioner.core.roles import Principal

OF_THE_DEPLOY = frozenset(
    {
        # Its boot.
        *("agent-never-reported", "agent-lost", "agent-of-another-version"),
        # Its disks.
        *(
            "disk-missing",
            "disk-too-small",
            "disk-error",
            "write-failed",
            "not-a-disk",
            "image-differs-on-disk",
        ),
        *("partitioning-failed", "ephemeral-failed", "swap-failed", "export-failed", "tool-failed"),
        *("wipe-failed", "wipe-not-proven"),
        # What it was given.
        *(
            "instance-never-seen",
            "filter-failed",
            "boot-stopped",
            "image-invalid",
            "image-too-large",
            "no-partition-table",
        ),
        *("partition-table-full", "file-system-damaged", "not-grown", "config-drive-too-small"),
        *("config-drive-differs", "digests-not-comparable"),
    }
)
"""Codes whose messages tell of a node, its disks, its agent and what it was given, and of no other device."""

OF_A_POWER_DEVICE = frozenset({"verify_power", "power_on", "power_off", "power_off_clean"})
"""Steps whose proof names such a device."""

TEXTS = frozenset(
    {
        *("step.started", "step.resumed", "step.waiting"),
        *("node.claimed", "instance.active", "instance.deleted"),
    }
)
"""Events of a controller whose texts are told."""

ORDERS = {
    RequestState.DONE: "it was done",
    RequestState.FAILED: "it failed; operators are told why",
}
"""Of an order of a node's power, what became of it."""

SEEN_OF_THE_NODE = frozenset({"dhcp", "tftp", "http", "agent", "board", "console"})
"""Sources of events that tell what the node itself did."""


def instance_for(who: Principal, instance: Instance) -> Instance:
    """As it is told to somebody who may see it."""
    if who.oversees or instance.failure is None:
        return instance
    failure = _failure(instance.failure)
    waiting_for = instance.waiting_for.replace(instance.failure.message, failure.message)
    return replace(instance, failure=failure, waiting_for=waiting_for)


def event_for(who: Principal, event: TimelineEvent) -> TimelineEvent:
    """As it is told to somebody who may see its instance."""
    if who.oversees or event.source in SEEN_OF_THE_NODE or event.name in TEXTS:
        return event
    if event.name == "step.done" and event.step not in OF_A_POWER_DEVICE:
        return event
    if event.name == "step.failed":
        return replace(event, text=_message(str(event.detail.get("code", "")), event.text))
    if event.source == "power" and (became := event.detail.get("became")):
        return replace(event, text=ORDERS.get(became, ""), detail={"became": became})
    return replace(event, text="", detail={})


def request_for(who: Principal, request: NodeRequest) -> NodeRequest:
    """As it is told to somebody who may see its instance."""
    return request if who.oversees else replace(request, answer=ORDERS.get(request.state, ""))


def _failure(failure: Failure) -> Failure:
    step = failure.last_proven.partition(":")[0]
    return replace(
        failure,
        message=_message(failure.code, failure.message),
        last_proven=step if step in OF_A_POWER_DEVICE else failure.last_proven,
        likely_cause=failure.likely_cause if failure.code in OF_THE_DEPLOY else "",
    )


def _message(code: str, whole: str) -> str:
    if code in OF_THE_DEPLOY:
        return whole
    known = FAILURES.get(code)
    return known.happened if known is not None else "operators are told what happened"

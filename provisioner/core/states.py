"""The state table of a node, as data.

A state ending in …ING acts; one ending in …_WAIT awaits the node. Every state is listed, every
transition has its reason. `docs/states.md` is generated from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from provisioner.core.errors import Conflict


class PowerState(StrEnum):
    """What a power device last said. UNKNOWN is a value: it is never treated as off."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class ProvisionState(StrEnum):
    ENROLLING = "enrolling"
    ENROL_FAILED = "enrol_failed"
    AVAILABLE = "available"
    DEPLOYING = "deploying"
    DEPLOY_WAIT = "deploy_wait"
    DEPLOY_FAILED = "deploy_failed"
    ACTIVE = "active"
    CLEANING = "cleaning"
    CLEAN_WAIT = "clean_wait"
    CLEAN_FAILED = "clean_failed"


class Event(StrEnum):
    VERIFY = "verify"
    VERIFIED = "verified"
    CLAIM = "claim"
    AWAIT_NODE = "await_node"
    NODE_ANSWERED = "node_answered"
    RUNNING = "running"
    RELEASE = "release"
    CLEAN = "clean"
    CLEANED = "cleaned"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Transition:
    to: ProvisionState
    reason: str


S, E = ProvisionState, Event

TRANSITIONS: MappingProxyType[ProvisionState, MappingProxyType[Event, Transition]] = MappingProxyType(
    {
        state: MappingProxyType(row)
        for state, row in {
            S.ENROLLING: {
                E.VERIFIED: Transition(S.AVAILABLE, "its power device accepted our credentials"),
                E.FAIL: Transition(S.ENROL_FAILED, "its power device refused us or never answered"),
            },
            S.ENROL_FAILED: {
                E.VERIFY: Transition(S.ENROLLING, "an operator mended it and asks again"),
            },
            S.AVAILABLE: {
                E.CLAIM: Transition(S.DEPLOYING, "the scheduler gave it to an instance"),
                E.VERIFY: Transition(S.ENROLLING, "an operator asks for a new check of its credentials"),
                E.CLEAN: Transition(
                    S.CLEANING, "an operator asks for a wipe, and to hear what it is made of"
                ),
            },
            S.DEPLOYING: {
                E.AWAIT_NODE: Transition(S.DEPLOY_WAIT, "the next move is the node's"),
                E.RUNNING: Transition(S.ACTIVE, "the instance was seen running"),
                E.FAIL: Transition(S.DEPLOY_FAILED, "a permanent error, or the retries are used up"),
                E.RELEASE: Transition(S.CLEANING, "the instance was deleted, or moved to another node"),
            },
            S.DEPLOY_WAIT: {
                E.NODE_ANSWERED: Transition(S.DEPLOYING, "the node did it, or its time ran out"),
                E.RUNNING: Transition(S.ACTIVE, "the instance was seen running"),
                E.FAIL: Transition(S.DEPLOY_FAILED, "the node never did what was awaited"),
                E.RELEASE: Transition(S.CLEANING, "the instance was deleted, or moved to another node"),
            },
            S.DEPLOY_FAILED: {
                E.RELEASE: Transition(S.CLEANING, "the failed instance was deleted"),
            },
            S.ACTIVE: {
                E.RELEASE: Transition(S.CLEANING, "the instance was deleted"),
            },
            S.CLEANING: {
                E.AWAIT_NODE: Transition(S.CLEAN_WAIT, "the next move is the node's"),
                E.CLEANED: Transition(S.AVAILABLE, "its disks were wiped and read back"),
                E.FAIL: Transition(S.CLEAN_FAILED, "it couldn't be wiped, so it is never offered"),
            },
            S.CLEAN_WAIT: {
                E.NODE_ANSWERED: Transition(S.CLEANING, "the node did it, or its time ran out"),
                E.FAIL: Transition(S.CLEAN_FAILED, "it couldn't be wiped, so it is never offered"),
            },
            S.CLEAN_FAILED: {
                E.CLEAN: Transition(S.CLEANING, "an operator mended it and asks for cleaning again"),
            },
        }.items()
    }
)

ACTING = frozenset({S.ENROLLING, S.DEPLOYING, S.DEPLOY_WAIT, S.CLEANING, S.CLEAN_WAIT})
"""States in which a compute host has work to do for the node."""

DEPLOYING = (S.DEPLOYING, S.DEPLOY_WAIT)
"""States in which an instance is on its way to the node."""

WAIT_STATES = frozenset({S.DEPLOY_WAIT, S.CLEAN_WAIT})

DELETABLE = frozenset({S.ENROLLING, S.ENROL_FAILED, S.AVAILABLE, S.CLEAN_FAILED})
"""States in which a node may be removed from the inventory: no instance is on it. One that owes a wipe is
removed only by who gives that up: nothing but its row knows of it."""


def next_state(state: ProvisionState, event: Event) -> ProvisionState:
    """Where `event` leads from `state`.

    Errors: Conflict when the table has no such transition; it names the events that are possible.
    """
    row = TRANSITIONS[state]
    if event not in row:
        possible = ", ".join(sorted(row)) or "nothing"
        raise Conflict(f"{event} a node that is {state}", answer=f"from {state} only {possible} is possible")
    return row[event].to


class InstanceState(StrEnum):
    """What the user of an instance sees."""

    REQUESTED = "requested"
    BUILDING = "building"
    ACTIVE = "active"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


LIVE = tuple(state for state in InstanceState if state is not InstanceState.DELETED)
"""States of an instance that is still there."""


def diagram() -> str:
    """The state table as a Mermaid diagram, for `docs/states.md`."""
    lines = ["stateDiagram-v2", "    [*] --> enrolling: enrol"]
    for state, row in TRANSITIONS.items():
        lines += [f"    {state} --> {step.to}: {event}" for event, step in row.items()]
    lines += [f"    {state} --> [*]: delete" for state in sorted(DELETABLE)]
    return "\n".join(lines)


def table() -> str:
    """The state table as Markdown, with the reasons, for `docs/states.md`."""
    rows = ["| state | event | next | why |", "|---|---|---|---|"]
    for state, row in TRANSITIONS.items():
        rows += [f"| `{state}` | `{event}` | `{step.to}` | {step.reason} |" for event, step in row.items()]
    return "\n".join(rows)

"""Moments that can't come, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner import vocabulary
from scenarios.runner.parts import OneNode, When
from scenarios.runner.reached import Reached, step_of, steps_of
from scenarios.runner.sound_rack import Problem, listed

if TYPE_CHECKING:
    from scenarios.runner.schema import Scenario

DEVICES: Mapping[str, tuple[str, Callable[[OneNode], bool]]] = {
    "bmc": ("BMC", lambda node: node.power == "ipmi"),
    "pdu": ("outlet", lambda node: node.power != "ipmi"),
    "feed": ("outlet", lambda node: node.power != "ipmi"),
    "monitor": ("monitor", lambda node: node.firmware == "tilera"),
}
"""Source of events → what tells them, and which nodes have one."""


BEFORE_STATES: Mapping[str, str] = {
    **dict.fromkeys(("deploying", "deploy_wait", "deploy_failed", "active"), "instance_running"),
    **dict.fromkeys(("cleaning", "clean_wait", "clean_failed"), "withdraw_instance"),
}
"""State of a node → a step of the plan by which it comes into that."""


class SoundMoments:
    """Of one scenario. A problem stands at a field of the moment."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._by_name = {node.name: node for node in scenario.rack.node_list}
        self._reached = Reached(scenario)

    def problems(
        self, when: When, own_instance: str = "", *, of_each: bool = False, may_miss: bool = False
    ) -> Iterator[Problem]:
        """own_instance: whose state is meant where the moment names none. of_each: each node is to have one
        of its own. may_miss: it may be one that no request leads to."""
        unknown = list(self.unknown(when))
        yield from unknown
        if when.state is not None:
            yield from self._told_problems(when, own_instance)
        elif not unknown:
            yield from self.never(when, of_each=of_each, may_miss=may_miss)

    # --- what nobody tells ---------------------------------------------------------------------

    def unknown(self, when: When) -> Iterator[Problem]:
        """Words that nothing is called by, or not at one of the fidelities."""
        field = _field(when)
        if when.node is not None and when.node not in self._by_name:
            yield ("node",), f"the rack has no node {when.node}; {listed(self._by_name)}"
        try:
            source = _source(when)
        except ValueError as error:
            others = "; or it is step, or command" if field == "per" else ""
            yield (field,), f"{error}{others}"
            return
        for told in self._unseen(when.event or when.per or ""):
            yield (field,), told
        if when.command is not None and when.command not in vocabulary.COMMANDS:
            yield ("command",), no_command(when.command)
        if source == "host" and when.node is not None:
            yield ("node",), f"{when.event or when.per} is of a compute host, and of no node: leave node out"
        for told in self._unsaid(source, when.detail):
            yield ("detail",), told
        for told in self._of_no_plan(when):
            yield ("step" if when.step is not None else "detail",), told
        for told in (*_no_state(source, when.detail), *_no_fault(source, when.detail)):
            yield ("detail",), told

    def _unseen(self, event: str) -> Iterator[str]:
        for alone, events in vocabulary.SEEN_BY_ONE.items():
            others = [fidelity for fidelity in self._scenario.fidelities if fidelity != alone]
            if event in events and others:
                yield f"{event} is never seen at fidelity {others[0]}: take another, or change fidelities"

    def _unsaid(self, source: str, detail: Mapping[str, object]) -> Iterator[str]:
        for fidelity in self._scenario.fidelities:
            said = vocabulary.DETAILS[fidelity].get(source, ())
            wrong = [key for key in detail if key not in said]
            if wrong:
                there_is = f"there is {', '.join(said)}" if said else "there is nothing"
                yield f"what {source} tells has no {wrong[0]} at fidelity {fidelity}; {there_is}"
                return

    def _of_no_plan(self, when: When) -> Iterator[str]:
        """Where a step is called by its name."""
        step = step_of(when)
        if when.step is None and (not step or step != when.detail.get("step")):
            return
        known = {step for node in self._nodes(when.node) for step in steps_of(node)}
        if step not in known:
            yield f"no plan has a step {step}; the steps are {', '.join(sorted(known))}"

    # --- what never comes ----------------------------------------------------------------------

    def never(self, when: When, *, of_each: bool = False, may_miss: bool = False) -> Iterator[Problem]:
        """What is told of other nodes alone, or of none, for no request leads to it."""
        if told := self._of_no_device(when, of_each=of_each):
            yield (_field(when),), told
            return
        step = step_of(when) or _step_before(when)
        told = "" if may_miss else self.never_begins(step, when.node, of_each=of_each)
        if told:
            by_name = step in (when.step, when.detail.get("step"))
            comes_with = "" if by_name else f"{when.event or when.per} comes with a step of the node: "
            yield (_field(when),), f"{comes_with}{told}, or take another moment"

    def _of_no_device(self, when: When, *, of_each: bool) -> str:
        source = _source(when)
        if source not in DEVICES:
            return ""
        device, has = DEVICES[source]
        nodes = self._nodes(when.node)
        without = [node.name for node in nodes if not has(node)]
        if not without or (len(without) < len(nodes) and not of_each):
            return ""
        who = without[0] if of_each or len(nodes) == 1 else "each node"
        return f"it never comes, for {who} has no {device}: take another moment"

    def never_begins(self, step: str, node: str | None, *, of_each: bool = False) -> str:
        """Why a step doesn't, and what to change; empty: it may, or there is none. node: None: at any."""
        nodes = self._nodes(node) if step else ()
        never = [one for one in nodes if not self._reached.step(step, one)]
        if not never or (len(never) < len(nodes) and not of_each):
            return ""
        unable = [one for one in never if step not in steps_of(one)]
        if unable and (of_each or len(unable) == len(never)):
            return f"no plan of {unable[0].name} has a step {step}: name a node that has one"
        able = [one for one in never if one not in unable]
        deployed = [one for one in able if self._reached.deploys(one)]
        at = deployed or able
        of = at[0].name if of_each or len(at) == 1 else "any node"
        if deployed:
            return f"{step} never begins, for nothing that is deployed to {of} is deleted: delete it"
        return f"{step} never begins, for nothing is deployed to {of}: deploy to it"

    def _told_problems(self, when: When, own_instance: str) -> Iterator[Problem]:
        instances = self._scenario.deployed
        instance = when.instance or own_instance
        if not instance:
            yield ("state",), "of which instance? add instance: NAME"
        elif instance == "all":
            if own_instance != "all":
                yield ("instance",), "all is for delete: all, each for itself: name one instance"
        elif instance not in instances:
            if when.instance is None:  # the request's own, which it tells itself
                return
            yield ("instance",), f"nothing deploys an instance {instance}; {listed(instances)}"
        elif when.state is not None and not self._reached.state(instance, when.state):
            verb = "deletes" if when.state == "deleted" else "has deployed"
            yield ("state",), f"it never comes, for nothing {verb} {instance} by then: take another moment"

    def _nodes(self, name: str | None) -> Sequence[OneNode]:
        """At which it may come. A name that no node has is told."""
        node = self._by_name.get(name or "")
        return [node] if node is not None else self._scenario.rack.node_list


def _step_before(when: When) -> str:
    """Without which no node comes into the state that is awaited; empty: there is none such."""
    if when.event != "node.state":
        return ""
    return BEFORE_STATES.get(str(when.detail.get("state")), "")


def _no_state(source: str, detail: Mapping[str, object]) -> Iterator[str]:
    state = detail.get("state")
    if source == "node" and state is not None and state not in vocabulary.NODE_STATES:
        yield f"a node is never {state!r}; its states are {', '.join(vocabulary.NODE_STATES)}"


def _no_fault(source: str, detail: Mapping[str, object]) -> Iterator[str]:
    fault = detail.get("fault")
    if source == "fault" and fault is not None and fault not in CATALOGUE:
        yield no_fault(fault)


def no_fault(name: object) -> str:
    meant = get_close_matches(str(name), CATALOGUE, n=1)
    return f"there is no fault {name}{f' (is it {meant[0]}?)' if meant else ''}; `bmsim fault ls` lists them"


def no_command(name: object) -> str:
    return f"a BMC knows no {name}; it knows {', '.join(vocabulary.COMMANDS)}"


def _field(when: When) -> str:
    return "per" if when.per is not None else when.kind


def _source(when: When) -> str:
    """Of the events that it is one of; empty: of none. Raises ValueError saying what there is."""
    if when.command is not None or when.per == "command":
        return "bmc"
    event = when.event or when.per or ""
    return "step" if event == "step" else vocabulary.split(event)[0] if event else ""

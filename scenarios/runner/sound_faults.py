"""What has to be true of a scenario's faults before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import BadFault
from scenarios.runner import vocabulary
from scenarios.runner.deadlines import DEADLINES
from scenarios.runner.parts import FaultPart, OneNode, When
from scenarios.runner.reached import steps_of
from scenarios.runner.sound_moments import SoundMoments, no_command, no_fault
from scenarios.runner.sound_rack import Problem, listed, without_its_store
from scenarios.runner.stage import Fidelity
from scenarios.runner.switched_by import unfit, unfit_for, unfit_on_machines

if TYPE_CHECKING:
    from scenarios.runner.schema import Scenario

SPOKEN: Mapping[str, tuple[str, Callable[[OneNode], bool]]] = {
    "ipmi": ("has no BMC", lambda node: node.power == "ipmi"),
    "snmp": ("hangs on no outlet", lambda node: node.power != "ipmi"),
    "iscsi": ("gets no image by iSCSI", lambda node: "export_disk" in steps_of(node)),
    "agent": ("boots no agent", lambda node: "agent_ready" in steps_of(node)),
}
"""Protocol that not every node speaks → why it doesn't, and which do."""


class SoundFaults:
    """Of one scenario."""

    def __init__(self, scenario: Scenario, moments: SoundMoments) -> None:
        self._scenario = scenario
        self._moments = moments

    def problems(self, fault: FaultPart) -> Iterator[Problem]:
        yield from self._moment_problems(fault)
        if fault.do not in CATALOGUE:
            yield ("do",), no_fault(fault.do)
            return
        known = CATALOGUE[fault.do]
        for fidelity in self._scenario.fidelities:
            if fidelity not in known.fidelities:
                can = ", ".join(sorted(known.fidelities)) or "no fidelity yet"
                told = f"{fault.do} can't be injected at fidelity {fidelity} ({can}): change fidelities"
                yield ("do",), told
        given: Mapping[str, Any] = {}
        try:
            given = known.completed(fault.with_)
        except BadFault as error:
            yield ("with",), str(error)
        else:
            yield from ((("with",), told) for told in self._unspoken(fault))
            yield from ((("with",), told) for told in _unknown_commands(fault))
        yield from self._target_problems(fault, known.strikes)
        if told := self._unfit(fault, given) or self._out_of_reach(fault):
            yield ("do",), told
        if told := without_its_store(self._scenario, fault):
            yield ("do",), told

    # --- when ----------------------------------------------------------------------------------

    def _moment_problems(self, fault: FaultPart) -> Iterator[Problem]:
        of_each = fault.share is not None and not fault.may_miss
        for place, told in self._moments.problems(fault.when, of_each=of_each, may_miss=fault.may_miss):
            yield ("when", *place), told
        earliest_s = _earliest_s(fault.when)
        yield from self._after_all_has_healed(fault.when, earliest_s)
        if fault.heal is None:
            return
        for place, told in self._moments.problems(fault.heal):
            yield ("heal", *place), told
        if fault.heal.at_s is not None and fault.heal.at_s < earliest_s:
            told = f"it strikes after {earliest_s:g} s at the earliest, and would be healed before"
            yield ("heal", "at_s"), f"{told}: write a larger at_s here, or an earlier when"

    def _after_all_has_healed(self, when: When, earliest_s: float) -> Iterator[Problem]:
        for fidelity in self._scenario.fidelities:
            usual_s = DEADLINES[fidelity].safety_s
            safety_s = usual_s if self._scenario.safety_s is None else self._scenario.safety_s
            if earliest_s and earliest_s >= safety_s:
                field = "after_s" if when.at_s is None else "at_s"
                told = f"everything heals after {safety_s:g} s at fidelity {fidelity}"
                yield ("when", field), f"{told}: write a smaller {field}, or a larger safety_s"
                return

    # --- what ----------------------------------------------------------------------------------

    def _struck(self, fault: FaultPart) -> Sequence[OneNode]:
        """The node, or any that may be of its share."""
        node = self._scenario.node_of(fault)
        return [one for one in self._scenario.rack.node_list if fault.share or one.name == node]

    def _unfit(self, fault: FaultPart, given: Mapping[str, Any]) -> str:
        at = str(fault.with_.get("at", ""))
        on_machines = Fidelity.MACHINE in self._scenario.fidelities
        told = (
            unfit(fault.do, one.name, one.power, one.deploy, given)
            or unfit_for(fault.do, one.name, one.firmware, at)
            or (unfit_on_machines(fault.do, one.name, one.boot, at) if on_machines else "")
            for one in self._struck(fault)
        )
        return next(filter(None, told), "")

    def _out_of_reach(self, fault: FaultPart) -> str:
        """What to change where nothing is done in which it could strike; empty: nothing."""
        family = fault.do.partition(".")[0]
        step = vocabulary.DURING.get(family, "")
        struck = self._struck(fault)
        if family == "nfs":
            if not any(step in steps_of(node) for node in self._scenario.rack.node_list):
                return f"{fault.do} changes nothing, for no node has its root by NFS: give one deploy: nfs"
            told = self._moments.never_begins(step, None)
        elif struck:
            node = None if fault.share else struck[0].name
            told = self._moments.never_begins(step, node, of_each=True)
        else:
            return ""
        if not told or fault.may_miss:
            return ""
        return f"{fault.do} strikes in a step of the node: {told}, or take another fault"

    def _unspoken(self, fault: FaultPart) -> Iterator[str]:
        """What to change where none of the messages that it concerns is ever sent."""
        protocols = fault.with_.get("protocols") or ()
        for node in self._struck(fault):
            whys = [SPOKEN[one][0] for one in protocols if one in SPOKEN and not SPOKEN[one][1](node)]
            if protocols and len(whys) == len(protocols):
                told = f"name other protocols than {', '.join(protocols)}, or leave protocols out"
                yield f"{node.name} {whys[0]}: {told}"
                return

    # --- where ---------------------------------------------------------------------------------

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
                yield ("target",), f"no deploy uses an image {target}; {listed(self._scenario.images)}"
            if target is None and len(self._scenario.images) > 1:
                yield ("target",), f"which image? add target: {', '.join(self._scenario.images)}"
            if fault.when.at_s != 0:
                yield ("when",), "images are fetched before the story begins, and never again: leave when out"
        elif target is not None:
            if target not in self._scenario.node_names:
                yield ("target",), f"the rack has no node {target}; {listed(self._scenario.node_names)}"
        elif strikes == "node" and not self._scenario.node_of(fault):
            yield ("target",), f"{fault.do} strikes a node: add target: NODE, or name one in when"

    def _share_problems(self, fault: FaultPart, strikes: str) -> Iterator[Problem]:
        if strikes != "node":
            yield ("share",), f"{fault.do} strikes no node: leave share out"
        if fault.target is not None or fault.when.node is not None:
            yield ("share",), "a share of the nodes and one node are both named: leave one out"
        if fault.when.kind == "state" or (fault.when.event or "").startswith("host."):
            told = "a share needs a moment that each node has: a step, command or event of its own"
            yield ("when", fault.when.kind), told


def _unknown_commands(fault: FaultPart) -> Iterator[str]:
    for name in fault.with_.get("for_commands") or ():
        if name not in vocabulary.COMMANDS:
            yield no_command(name)


def _earliest_s(when: When) -> float:
    """After the story has begun; steps of an enrolment come before."""
    if when.at_s is not None:
        return when.at_s
    return 0.0 if str(when.detail.get("step")) in vocabulary.ENROL_STEPS else when.after_s

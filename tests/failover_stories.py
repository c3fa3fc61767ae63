"""Something befalls a node's owner in one step of its way: stories for more than one fidelity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bmsim.faults.catalogue import CATALOGUE
from provisioner.core.plan import PLANS
from scenarios.runner.random_story import family, rack
from scenarios.runner.story import AtTime, Delete, Deploy, OnEvent, OnTold, Power, Request, Story, Strike
from scenarios.runner.trace import Trace

STEPS = [
    *((plan, spec.name) for plan in ("deploy-iscsi", "clean", "deploy-nfs") for spec in PLANS[plan].steps),
    ("clean-nfs", "remove_root"),  # its other steps are those of any cleaning
]
ENROLMENT = [("enrol", spec.name) for spec in PLANS["enrol"].steps]

WAYS = {
    "uefi": (family("x86_64", "uefi"), "ipmi"),
    "grub": (family("arm64", "uefi"), "ipmi"),
    "uboot-arm64": (family("arm64", "uboot"), "pdu"),
    "uboot": (family("armhf", "uboot"), "two-pdus"),
    "uboot-nfs": (family("armhf", "uboot", "nfs"), "pdu"),
    "tilera": (family("tilepro64", "tilera"), "pdu"),
}
"""Nodes other than servers with a BIOS, by how they boot and have their roots: which they are, and what
switches them."""

OTHER_STEPS = [
    (way, plan, spec.name)
    for way, (kind, _) in WAYS.items()
    for plan in kind.plans
    for spec in PLANS[plan].steps
]

LONGER_THAN_THE_LEASE_S = 30.0
LONGER_THAN_IT_IS_PATIENT_S = 300.0
"""Until it passes on what it can't do: a quiet node has half a minute, a silent power device a minute."""

FAULTS: Mapping[str, tuple[str, Mapping[str, Any], float | None]] = {
    "killed": ("host.kill", {}, None),
    "told to end": ("host.end", {}, None),
    "told to end at once": ("host.end", {"at_once": True}, None),
    "started again": ("host.restart", {}, None),
    "frozen": ("host.stop", {}, LONGER_THAN_THE_LEASE_S),
    "cut off from the store": ("host.partition", {"from": "store"}, LONGER_THAN_THE_LEASE_S),
    "heard by the store, and not answered": (
        "host.partition",
        {"from": "store", "one_way": True},
        LONGER_THAN_THE_LEASE_S,
    ),
    "cut off from the nodes": ("host.partition", {"from": "nodes"}, LONGER_THAN_IT_IS_PATIENT_S),
    "cut off from the nodes for a moment": ("host.partition", {"from": "nodes"}, LONGER_THAN_THE_LEASE_S),
    "heard by the nodes, and not answered": (
        "host.partition",
        {"from": "nodes", "one_way": True},
        LONGER_THAN_IT_IS_PATIENT_S,
    ),
    "cut off from both": ("host.partition", {"from": "both"}, LONGER_THAN_THE_LEASE_S),
    "heard by both, and not answered": (
        "host.partition",
        {"from": "both", "one_way": True},
        LONGER_THAN_THE_LEASE_S,
    ),
    "with a slow store": ("db.slow", {"delay_s": 1.5}, LONGER_THAN_THE_LEASE_S),
    "with a store that goes away": ("db.restart", {"down_s": 20}, None),
}

LOSES_ITS_NODES = (
    *("killed", "told to end", "told to end at once"),
    *("frozen", "cut off from the store", "cut off from both"),
)
"""What no lease outlives, or is given back."""


def story(
    plan: str,
    step: str,
    befalls: str,
    *,
    release: bool = True,
    again: bool = False,
    way: str = "",
    proof_of_life: tuple[str, ...] = (),
    compute_hosts: int = 2,
) -> Story:
    """One node is enrolled, deployed and, unless `release` is off, released, and with `again` deployed again;
    something befalls its owner in a step of one of these. way: one of WAYS; empty: a server with a BIOS."""
    fault, given, heal_after_s = FAULTS[befalls]
    hosts, nodes = rack(1, compute_hosts)
    image = "tiny"
    if way:
        kind, power = WAYS[way]
        nodes, image = (kind.node(1, power),), kind.images[0]
    if plan.endswith("nfs"):
        nodes = tuple(replace(node, deploy="nfs") for node in nodes)
    strikes = CATALOGUE[fault].strikes
    nth = 2 if plan == "clean" and step in {spec.name for spec in PLANS["deploy-iscsi"].steps} else 1
    requests: list[Request] = [Deploy(instance="web", image=image, node="n1", proof_of_life=proof_of_life)]
    if release:
        requests.append(Delete(instance="web", when=OnTold("web", "active")))
    if again:
        requests.append(Deploy(instance="next", image=image, node="n1", when=OnTold("web", "deleted")))
    return Story(
        name="failover",
        hosts=hosts,
        nodes=nodes,
        requests=tuple(requests),
        strikes=(
            Strike(
                fault=fault,
                node="n1" if strikes == "host" else "",
                host="owner" if strikes == "host" else "",
                parameters=CATALOGUE[fault].completed(given),
                when=OnEvent("step", "step.started", "n1", nth=nth, detail={"step": step}),
                heal_after_s=heal_after_s,
            ),
        ),
        images=(image,),
        safety_s=1800.0,
    )


SWITCHES = [
    *(
        ("", plan, step)
        for plan, step in STEPS
        if step in ("power_on", "reboot", "power_off", "power_off_clean")
    ),
    *(("uefi", "deploy-iscsi", step) for step in ("power_on", "reboot")),
]
"""Way of booting, plan, and a step in which a BMC switches the node."""

LATE_S = 3.0


def with_late_bmc(told: Story, befalls_after_s: float) -> Story:
    """Its BMC acknowledges the step's first command of power at once, and carries it out later. What befalls
    the owner does so long after the step has begun."""
    switching = ["chassis.power.on", "chassis.power.off"]
    parameters = CATALOGUE["bmc.late"].completed({"for_commands": switching, "by_s": LATE_S, "count": 1})
    (befalls,) = told.strikes
    assert isinstance(befalls.when, OnEvent), "as `story` has it"
    late = Strike(fault="bmc.late", node="n1", parameters=parameters, when=befalls.when)
    when = replace(befalls.when, after_s=befalls_after_s)
    return replace(told, strikes=(late, replace(befalls, when=when)))


def ordered_late(verb: str, befalls: str) -> Story:
    """An operator switches an idle node, whose BMC carries it out later. Something befalls its owner just
    after the order, and the node is deployed: at once, or as soon as it is another's."""
    ordered = OnEvent("bmc", f"chassis.power.{verb}", "n1", after_s=0.1)
    given = OnEvent("lease", "owner", "n1", detail={"fence": 2})
    late = {"for_commands": [f"chassis.power.{verb}"], "by_s": LATE_S, "count": 1}
    hosts, nodes = rack(1, 2)
    return Story(
        name="ordered-late",
        hosts=hosts,
        nodes=nodes,
        requests=(
            Power(node="n1", verb="on"),
            Power(node="n1", verb=verb, when=AtTime(10.0)),
            Deploy(instance="web", image="tiny", node="n1", when=given if befalls == "host.end" else ordered),
        ),
        strikes=(
            Strike(
                fault="bmc.late",
                node="n1",
                parameters=CATALOGUE["bmc.late"].completed(late),
                when=AtTime(5.0),
            ),
            Strike(
                fault=befalls,
                host="owner",
                node="n1",
                parameters=CATALOGUE[befalls].completed({}),
                when=ordered,
                heal_after_s=LONGER_THAN_THE_LEASE_S,
            ),
        ),
        images=("tiny",),
        safety_s=1800.0,
    )


def owners(trace: Trace) -> list[str]:
    """Of n1, one after the other."""
    told = [event.detail["owner"] for event in trace if event.source == "lease" and event.node == "n1"]
    return [owner for owner in told if owner]

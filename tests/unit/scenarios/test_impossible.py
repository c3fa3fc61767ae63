"""What can never happen in a scenario is refused, and what is merely unlikely isn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.runner.load import BadScenario, read
from tests.unit.scenarios.files import SOUND, written

WHEN = "when: {node: n1, step: power_on}"
FAULT = f"{{do: bmc.busy, with: {{count: 2}}, {WHEN}}}"
DEPLOY = "{deploy: n1, image: tiny}"
EXPECT = "{node: n1, state: active}"
Change = tuple[str, str]


def fault(text: str) -> Change:
    return FAULT, f"{{{text}}}"


def when(text: str) -> Change:
    return WHEN, f"when: {{{text}}}"


def rack(nodes: str) -> Change:
    return "[{name: n1}, {name: n2}]", f"[{nodes}]"


def requests(*lines: str) -> Change:
    """In one line, so that faults stand in line 8 and what is expected in line 10 whatever is asked for."""
    return f"requests:\n  - {DEPLOY}\n", f"requests:\n  [{', '.join(f'{{{line}}}' for line in lines)}]\n"


AT_MACHINE = ("why:", "fidelities: [model, machine]\nwhy:")  # a line more
BY_NFS = rack("{name: n1, deploy: nfs}, {name: n2, power: pdu}")
BOTH, BOTH_WAYS = (
    requests("deploy: all, image: tiny", "delete: i-n2"),
    rack("{name: n1}, {name: n2, deploy: nfs}"),
)

NEVER: dict[str, tuple[list[Change], str, str]] = {
    # --- what no request leads to
    "a step at a node to which nothing is deployed": (
        [when("node: n2, step: power_on")],
        "8: faults[0].when.step:",
        "power_on never begins, for nothing is deployed to n2: deploy to it, or take another moment",
    ),
    "a cleaning of a node that nobody deletes": (
        [BOTH, when("node: n1, step: wipe")],
        "8: faults[0].when.step:",
        "wipe never begins, for nothing that is deployed to n1 is deleted: delete it, or take another moment",
    ),
    "a step of a rack in which nothing is deployed": (
        [requests("power: n1, turn: on"), when("step: power_on"), (EXPECT, "{node: n1, state: available}")],
        "8: faults[0].when.step:",
        "nothing is deployed to any node",
    ),
    "the end of a step that never begins": (
        [when("node: n2, step: reboot, done: true")],
        "8: faults[0].when.step:",
        "nothing is deployed to n2",
    ),
    "an event of a step that never begins": (
        [when("node: n2, event: step.step.retry, detail: {step: reboot}")],
        "8: faults[0].when.event:",
        "nothing is deployed to n2",
    ),
    "an agent of a node to which nothing is deployed": (
        [when("node: n2, event: agent.hello")],
        "8: faults[0].when.event:",
        "agent.hello comes with a step of the node: agent_ready never begins, for nothing is deployed to n2",
    ),
    "a step that not each node of a share has": (
        [BOTH_WAYS, BOTH, fault("do: bmc.busy, share: 0.5, when: {step: write_image}")],
        "8: faults[0].when.step:",
        "no plan of n2 has a step write_image",
    ),
    "a share of nodes to which nothing is deployed": (
        [fault("do: bmc.busy, share: 0.5, when: {step: power_on}")],
        "8: faults[0].when.step:",
        "nothing is deployed to n2",
    ),
    "a device that not each node of a share has": (
        [
            BOTH,
            rack("{name: n1}, {name: n2, power: pdu}"),
            fault("do: net.partition, share: 0.5, when: {command: chassis.power.on}"),
        ],
        "8: faults[0].when.command:",
        "n2 has no BMC",
    ),
    "a request that waits for what it does": (
        [requests("deploy: n1, image: tiny, when: {node: n1, step: power_on}")],
        "6: requests[0].when.step:",
        "power_on never begins, for nothing is deployed to n1",
    ),
    "requests that wait for each other": (
        [
            requests(
                "deploy: n1, image: tiny, when: {instance: i-n2, state: active}",
                "deploy: n2, image: tiny, when: {instance: i-n1, state: deleted}",
                "delete: i-n1",
            )
        ],
        "6: requests[0].when.state:",
        "it never comes, for nothing has deployed i-n2 by then",
    ),
    # --- what nobody tells
    "a detail that no such event has": (
        [when("event: http.sent, node: n1, detail: {fyle: kernel}")],
        "8: faults[0].when.detail:",
        "what http tells has no fyle at fidelity model; there is file, bytes, offered_to",
    ),
    "a detail of a command that no BMC tells": (
        [when("command: chassis.bootdev.set, node: n1, detail: {devise: network}")],
        "8: faults[0].when.detail:",
        "what bmc tells has no devise at fidelity model; there is device, persistent",
    ),
    "a detail that machines don't tell": (
        [AT_MACHINE, when("event: dhcp.offer, node: n1, detail: {exchange: 1}")],
        "9: faults[0].when.detail:",
        "what dhcp tells has no exchange at fidelity machine; there is client, arch",
    ),
    "a step in a detail that no plan has": (
        [when("event: step.step.retry, node: n1, detail: {step: write_imige}")],
        "8: faults[0].when.detail:",
        "no plan has a step write_imige; the steps are agent_ready",
    ),
    "a state that no node has": (
        [when("event: node.state, node: n1, detail: {state: activ}")],
        "8: faults[0].when.detail:",
        "a node is never 'activ'; its states are enrolling,",
    ),
    "a state that nothing leads a node to": (
        [when("event: node.state, node: n2, detail: {state: active}")],
        "8: faults[0].when.event:",
        "with a step of the node: instance_running never begins, for nothing is deployed to n2: deploy to it",
    ),
    "a state of cleaning where nothing is deleted": (
        [when("event: node.state, node: n1, detail: {state: cleaning}")],
        "8: faults[0].when.event:",
        "withdraw_instance never begins, for nothing that is deployed to n1 is deleted",
    ),
    "a list of steps in a detail": (
        [when("event: step.step.retry, node: n1, detail: {step: [write_image]}, after_s: 5")],
        "8: faults[0].when.event:",
        "no plan of n1 has a step ['write_image']",
    ),
    "an event of a compute host at a node": (
        [when("event: host.killed, node: n1")],
        "8: faults[0].when.node:",
        "host.killed is of a compute host, and of no node: leave node out",
    ),
    "a share at an event that no node has": (
        [fault("do: bmc.busy, share: 0.5, when: {event: host.killed}")],
        "8: faults[0].when.event:",
        "a share needs a moment that each node has",
    ),
    # --- what real machines can't have
    "a slow firmware that no emulated machine has": (
        [AT_MACHINE, fault("do: node.slow_post, target: n1")],
        "9: faults[0].do:",
        "node.slow_post strikes boards of tilepro64 alone at fidelity machine, not n1: change fidelities",
    ),
    # --- time
    "a fault that comes when all has healed": (
        [when("node: n1, step: power_on, after_s: 5000")],
        "8: faults[0].when.after_s:",
        "everything heals after 3600 s at fidelity model: write a smaller after_s, or a larger safety_s",
    ),
    "a fault that comes when all has healed on machines": (
        [AT_MACHINE, when("node: n1, step: power_on, after_s: 400")],
        "9: faults[0].when.after_s:",
        "everything heals after 300 s at fidelity machine",
    ),
    "a fault that heals before it strikes": (
        [fault("do: bmc.silent, target: n1, when: {at_s: 60}, heal: {at_s: 30}")],
        "8: faults[0].heal.at_s:",
        "it strikes after 60 s at the earliest, and would be healed before: write a larger at_s here",
    ),
    "a fault that heals before its moment can have come": (
        [fault("do: bmc.silent, when: {node: n1, step: power_on, after_s: 60}, heal: {at_s: 30}")],
        "8: faults[0].heal.at_s:",
        "it strikes after 60 s at the earliest",
    ),
    # --- what a node has none of
    "iSCSI of a node with its root by NFS": (
        [BY_NFS, when("node: n1, event: iscsi.write")],
        "8: faults[0].when.event:",
        "iscsi.write comes with a step of the node: no plan of n1 has a step export_disk: name a node that",
    ),
    "a fault of iSCSI at a node with its root by NFS": (
        [BY_NFS, fault("do: iscsi.session_lost, target: n1")],
        "8: faults[0].do:",
        "iscsi.session_lost changes nothing at n1, which has its root by NFS: give it deploy: iscsi",
    ),
    "a fault of NFS in a rack without it": (
        [fault("do: nfs.server_gone")],
        "8: faults[0].do:",
        "nfs.server_gone changes nothing, for no node has its root by NFS: give one deploy: nfs",
    ),
    "a fault of NFS that nobody asks for": (
        [BOTH_WAYS, fault("do: nfs.server_gone")],
        "8: faults[0].do:",
        "make_root never begins, for nothing is deployed to n2: deploy to it, or take another fault",
    ),
    "a fault of an agent that never boots": (
        [BY_NFS, fault("do: agent.twice, target: n1")],
        "8: faults[0].do:",
        "agent_ready never begins, for nothing that is deployed to n1 is deleted: delete it, or take another",
    ),
    "a fault of iSCSI at a node to which nothing is deployed": (
        [fault("do: iscsi.session_lost, target: n2")],
        "8: faults[0].do:",
        "iscsi.session_lost strikes in a step of the node: export_disk never begins, for nothing is deployed",
    ),
    "lost messages to a BMC that isn't there": (
        [BY_NFS, fault("do: net.drop, target: n2, with: {protocols: [ipmi]}")],
        "8: faults[0].with:",
        "n2 has no BMC: name other protocols than ipmi, or leave protocols out",
    ),
    "lost messages of iSCSI to a node with its root by NFS": (
        [BY_NFS, fault("do: net.delay, target: n1, with: {protocols: [iscsi]}")],
        "8: faults[0].with:",
        "n1 gets no image by iSCSI",
    ),
    # --- what is expected
    "fewer than are expected at least": (
        [(EXPECT, "{event: dhcp.ack, node: n1, at_least: 5, at_most: 1}")],
        "10: expect[0].at_most:",
        "nothing is seen 5 times at least and so seldom: write a larger at_most",
    ),
    "an event that never comes, expected": (
        [(EXPECT, "{event: step.step.started, node: n2, detail: {step: reboot}, at_least: 1}")],
        "10: expect[0].event:",
        "nothing is deployed to n2",
    ),
    "a device that a node doesn't have, expected": (
        [(EXPECT, "{event: pdu.outlet.on, node: n1, at_least: 1}")],
        "10: expect[0].event:",
        "n1 has no outlet",
    ),
    "a detail that no such event has, counted": (
        [(EXPECT, "{event: http.sent, node: n1, detail: {fyle: kernel}, at_most: 0}")],
        "10: expect[0].detail:",
        "has no fyle",
    ),
}

UNLIKELY: dict[str, list[Change]] = {
    "the tenth time": [when("node: n1, step: power_on, nth: 10")],
    "a command to a node to which nothing is deployed": [when("node: n2, command: chassis.power.on")],
    "a boot of a node to which nothing is deployed": [when("node: n2, event: dhcp.discover")],
    "a step of whichever node the scheduler chooses": [
        requests("deploy: any, as: web, image: tiny"),
        when("node: n2, step: power_on"),
    ],
    "a cleaning of the node that the scheduler has chosen": [
        rack("{name: n1}"),
        requests("deploy: any, as: web, image: tiny", "delete: web"),
        when("node: n1, step: wipe"),
    ],
    "a cleaning of a node that its request has left": [
        requests("deploy: any, as: web, image: tiny"),
        when("node: n1, step: wipe"),
    ],
    "a cleaning because of a rebuilding": [
        requests("deploy: n1, image: tiny", "rebuild: i-n1"),
        when("node: n1, step: wipe"),
    ],
    "an agent that boots to clean": [
        BY_NFS,
        requests("deploy: n1, image: tiny", "delete: i-n1"),
        fault("do: agent.twice, target: n1, when: {node: n1, event: agent.hello}"),
    ],
    "a deploy to a node that waits for another one": [
        requests("deploy: n2, image: tiny, when: {instance: i-n1, state: active}", "deploy: n1, image: tiny"),
        when("node: n2, step: power_on"),
    ],
    "what a fault that may miss waits for": [
        fault("do: bmc.busy, may_miss: true, when: {node: n2, step: wipe}")
    ],
    "a share of nodes to some of which nothing is deployed, that may miss": [
        fault("do: bmc.busy, share: 0.5, may_miss: true, when: {step: power_on}")
    ],
    "a share of nodes some of which have another device, that may miss": [
        rack("{name: n1}, {name: n2, power: pdu}"),
        fault("do: net.drop, share: 0.5, may_miss: true, when: {command: chassis.power.on}"),
    ],
    "a step of the enrolment": [
        fault("do: bmc.busy, target: n1, when: {event: step.step.done, detail: {step: verify_power}}")
    ],
    "the last moment before all heals": [when("node: n1, step: power_on, after_s: 3599")],
    "healed as it strikes": [fault("do: host.kill, when: {at_s: 30}, heal: {at_s: 30}")],
    "healed after all has healed": [fault("do: host.kill, when: {at_s: 30}, heal: {at_s: 5000}")],
    "lost messages some of which are none": [
        BY_NFS,
        fault("do: net.drop, target: n2, with: {protocols: [ipmi, dhcp]}"),
    ],
    "NFS of one node of the rack": [BOTH_WAYS, BOTH, fault("do: nfs.server_gone")],
    "that an event which can't be isn't": [
        BY_NFS,
        when("node: n1, step: reboot"),
        (EXPECT, "{event: iscsi.write, node: n1, at_most: 0}"),
    ],
    "exactly so many": [(EXPECT, "{event: dhcp.ack, node: n1, at_least: 3, at_most: 3}")],
}


def changed(folder: Path, changes: list[Change]) -> Path:
    text = SOUND
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return written(folder, text)


@pytest.mark.parametrize("what", NEVER)
def test_what_can_never_happen_is_refused_with_line_field_and_what_to_change(
    what: str, tmp_path: Path
) -> None:
    changes, place, told = NEVER[what]
    path = changed(tmp_path, changes)
    with pytest.raises(BadScenario) as refused:
        read(path)
    first = str(refused.value).splitlines()[0]
    assert first.startswith(f"{path}:{place}")
    assert told in first


@pytest.mark.parametrize("what", UNLIKELY)
def test_what_may_happen_is_accepted_however_unlikely(what: str, tmp_path: Path) -> None:
    read(changed(tmp_path, UNLIKELY[what]))

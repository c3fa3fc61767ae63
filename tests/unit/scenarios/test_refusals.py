from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.runner.load import (
    BadScenario,
    read,
)
from tests.unit.scenarios.files import SOUND, written

REFUSED = {
    "an unknown field": (
        "source: a bug",
        "sauce: none\nsource: a bug",
        [":3: sauce: there is no such field (is it source?); there are: name, why, source, "],
    ),
    "a fault that nobody knows": ("bmc.busy", "bmc.sulks", [":8: faults[0].do:", "bmsim fault ls"]),
    "an unknown parameter of a fault": ("count: 2", "often: 2", [":8: faults[0].with:", "for_commands"]),
    "a parameter of the wrong kind": (
        "count: 2",
        "count: two",
        [":8: faults[0].with:", "must be a whole number"],
    ),
    "an image of another processor": (
        "{deploy: n1, image: tiny}",
        "{deploy: n1, image: tiny-arm64}",
        [":6: requests[0].image:", "tiny-arm64 is for arm64, and n1 is x86_64", "to be refused"],
    ),
    "a fault of machines at a board": (
        "{do: bmc.busy, with: {count: 2}",
        "{do: boot.wrong_image",
        [":8: faults[0].do:", "boards of tilepro64 alone: give n1 firmware: tilera, boot: tilera"],
    ),
    "a step of nodes that get their roots otherwise": (
        "step: power_on",
        "step: make_root",
        [":8: faults[0].when.step:", "no plan has a step make_root"],
    ),
    "a board that boots as a server": (
        "{name: n1}",
        "{name: n1, arch: armhf}",
        [":4: rack", "firmware: uboot"],
    ),
    "a server of arm64 that is to load iPXE": (
        "{name: n1}",
        "{name: n1, arch: arm64, firmware: uefi}",
        [":4: rack", "boot: grub"],
    ),
    "a server of x86_64 that is to load GRUB": (
        "{name: n1}",
        "{name: n1, firmware: uefi, boot: grub}",
        [":4: rack", "arch: arm64, firmware: uefi"],
    ),
    "a board of tilepro64 that boots as another": (
        "{name: n1}",
        "{name: n1, arch: tilepro64, firmware: uboot, boot: uboot, power: pdu}",
        [":4: rack", "firmware: tilera, boot: tilera"],
    ),
    "a board of tilepro64 with a BMC": (
        "{name: n1}",
        "{name: n1, arch: tilepro64, firmware: tilera, boot: tilera}",
        [":4: rack", "has no BMC"],
    ),
    "a trigger at a node that isn't there": (
        "when: {node: n1,",
        "when: {node: n3,",
        [":8: faults[0].when.node:", "there are n1, n2"],
    ),
    "a step that no plan has": (
        "step: power_on",
        "step: power_onn",
        [":8: faults[0].when.step:", "set_boot_device"],
    ),
    "a step of a plan that nobody asks for": (
        "step: power_on",
        "step: wipe",
        [":8: faults[0].when.step:", "nothing that is deployed to n1 is deleted: delete it"],
    ),
    "a step that is over before the story begins": (
        "step: power_on",
        "step: verify_power",
        [":8: faults[0].when.step:", "no plan has a step verify_power"],
    ),
    "a command that no BMC knows": (
        "step: power_on",
        "command: chassis.power.onn",
        [":8: faults[0].when.command:", "chassis.power.on"],
    ),
    "an event that nothing tells": (
        "step: power_on",
        "event: http.received",
        [":8: faults[0].when.event:", "sent, refused"],
    ),
    "an event of no source": ("step: power_on", "event: sent", [":8: faults[0].when.event:", "dhcp"]),
    "two moments in one": (
        "step: power_on",
        "step: power_on, at_s: 3",
        [":8: faults[0].when:", "at_s and step"],
    ),
    "a moment with what belongs to another kind": (
        "node: n1, step: power_on",
        "at_s: 3, nth: 2",
        [":8: faults[0].when:", "nth can't stand beside at_s"],
    ),
    "chance without what it is thrown at": (
        "node: n1, step: power_on",
        "probability: 0.1",
        [":8: faults[0].when:", "per"],
    ),
    "a moment of a BMC at a node that has none": (
        "[{name: n1}, {name: n2}]}\nrequests:\n  - {deploy: n1, image: tiny}\nfaults:\n"
        "  - {do: bmc.busy, with: {count: 2}, when: {node: n1, step: power_on}}",
        "[{name: n1, power: pdu}, {name: n2}]}\nrequests:\n  - {deploy: n1, image: tiny}\nfaults:\n"
        "  - {do: node.dead_nic, when: {node: n1, command: chassis.power.on}}",
        [":8: faults[0].when.command:", "it never comes, for n1 has no BMC"],
    ),
    "a moment of an outlet in a rack without any": (
        "{node: n1, step: power_on}",
        "{event: pdu.outlet.on}, target: n1",
        [":8: faults[0].when.event:", "it never comes, for each node has no outlet"],
    ),
    "a step of another node's way": (
        "[{name: n1}, {name: n2}]}\nrequests:\n  - {deploy: n1, image: tiny}\nfaults:\n"
        "  - {do: bmc.busy, with: {count: 2}, when: {node: n1, step: power_on}}",
        "[{name: n1}, {name: n2, deploy: nfs}]}\nrequests:\n  - {deploy: all, image: tiny}\nfaults:\n"
        "  - {do: bmc.busy, with: {count: 2}, when: {node: n1, step: make_root}}",
        [":8: faults[0].when.step:", "no plan has a step make_root"],
    ),
    "a deletion that nobody asks for": (
        "{node: n1, step: power_on}",
        "{instance: i-n1, state: deleted}",
        [":8: faults[0].when.state:", "nothing deletes i-n1"],
    ),
    "the end of all instances at once": (
        "{node: n1, step: power_on}",
        "{instance: all, state: active}, target: n1",
        [":8: faults[0].when.instance:", "name one instance"],
    ),
    "a fault that comes when all has healed": (
        "{node: n1, step: power_on}",
        "{at_s: 4000}, target: n1",
        [":8: faults[0].when.at_s:", "everything heals after 3600 s at fidelity model", "safety_s"],
    ),
    "a share of nodes that can't all be struck": (
        "[{name: n1}, {name: n2}]}\nrequests:\n  - {deploy: n1, image: tiny}\nfaults:\n"
        "  - {do: bmc.busy, with: {count: 2}, when: {node: n1, step: power_on}}",
        "[{name: n1}, {name: n2, power: pdu}]}\nrequests:\n  - {deploy: n1, image: tiny}\nfaults:\n"
        "  - {do: bmc.busy, share: 0.5, with: {count: 2}, when: {step: power_on}}",
        [":8: faults[0].do:", "n2 hangs on outlets"],
    ),
    "an instance that is rebuilt twice": (
        "{deploy: n1, image: tiny}",
        "{deploy: n1, image: tiny}\n  - {rebuild: i-n1}\n  - {rebuild: i-n1}",
        [":8: requests[2].rebuild:", "i-n1-2 is deployed already"],
    ),
    "a probability above one": (
        "node: n1, step: power_on",
        "probability: 2, per: step",
        [":8: faults[0].when.probability:", "less than or equal to 1"],
    ),
    "a fault of a node without a node": (
        "when: {node: n1, step: power_on}",
        "when: {at_s: 1}",
        [":8: faults[0].target:", "add target: NODE"],
    ),
    "a fault of outlets at a node with a BMC": (
        "do: bmc.busy, with: {count: 2}",
        "do: pdu.outlet_stuck",
        [":8: faults[0].do:", "give it power: pdu"],
    ),
    "a fault of a host aimed at a node": (
        "do: bmc.busy, with: {count: 2}",
        "do: host.kill, target: n1",
        [":8: faults[0].target:", "ch1, or owner"],
    ),
    "a fault of an image that nobody uses": (
        "do: bmc.busy, with: {count: 2}",
        "do: image.corrupt, target: debian",
        [":8: faults[0].target:", "there are tiny"],
    ),
    "an image that breaks when it was fetched already": (
        "do: bmc.busy, with: {count: 2}",
        "do: image.corrupt",
        [":8: faults[0].when:", "leave when out"],
    ),
    "two ways to heal": (
        "when: {node: n1, step: power_on}",
        "heal_after_s: 3, heal: {at_s: 4}",
        [":8: faults[0]:", "leave one out"],
    ),
    "a deploy to a node that isn't there": (
        "deploy: n1",
        "deploy: n9",
        [":6: requests[0].deploy:", "no node n9"],
    ),
    "an image that isn't there": ("image: tiny", "image: tinny", [":6: requests[0].image:", "tiny-disk"]),
    "a request without a verb": ("deploy: n1, ", "", [":6: requests[0]:", "rebuild"]),
    "an unknown field of a request": (
        "image: tiny",
        "image: tiny, wype: full",
        [":6: requests[0].wype: there is no such field (is it wipe?); there are: deploy, "],
    ),
    "a wrong value in a request": (
        "image: tiny",
        "image: tiny, wipe: some",
        [":6: requests[0].wipe:", "'quick' or 'full'"],
    ),
    "the deletion of what nobody deploys": (
        "{deploy: n1, image: tiny}",
        "{deploy: n1, image: tiny}\n  - {delete: web}",
        [":7: requests[1].delete:", "i-n1"],
    ),
    "one instance deployed twice": (
        "{deploy: n1, image: tiny}",
        "{deploy: n1, image: tiny}\n  - {deploy: n1, image: tiny}",
        [":7: requests[1].deploy:", "as"],
    ),
    "an expectation of a state that no node has": (
        "state: active}",
        "state: happy}",
        [":10: expect[0].state:", "deploy_failed"],
    ),
    "a deadline of another state": (
        "state: active}",
        "state: active, within: clean_deadline}",
        [":10: expect[0].within:", "available"],
    ),
    "a count without a bound": (
        "{node: n1, state: active}",
        "{event: dhcp.ack, node: n1}",
        [":10: expect[0].event:", "at_least or at_most"],
    ),
    "an expectation of a node that isn't there": (
        "{node: n1, state: active}",
        "{node: n7, state: active}",
        [":10: expect[0].node:", "no node n7"],
    ),
    "a node twice": ("{name: n2}", "{name: n1}", [":4: rack.nodes[1].name:", "given twice"]),
    "a node by the name of a compute host": ("{name: n2}", "{name: ch1}", [":4: rack.nodes[1].name:"]),
    "a node without memory": (
        "{name: n2}",
        "{name: n2, memory_mib: 12}",
        [":4: rack.nodes[1].memory_mib:", "256"],
    ),
    "a fault that machines can't be given": (
        "do: bmc.busy, with: {count: 2}",
        "do: net.delay",
        [":9: faults[0].do:", "fidelity machine (model)", "change fidelities"],
    ),
    "an event that can't be seen at machines": (
        "step: power_on",
        "event: machine.post",
        [":9: faults[0].when.event:", "never seen at fidelity machine"],
    ),
    "a store for machines that only one host uses": (
        "do: bmc.busy, with: {count: 2}",
        "do: db.restart",
        [":9: faults[0].do:", "its store to itself", "compute_hosts: 2"],
    ),
    "a way for machines to a store that only one host uses": (
        "do: bmc.busy, with: {count: 2}",
        "do: host.partition, with: {from: both}",
        [":9: faults[0].do:", "its store to itself", "compute_hosts: 2"],
    ),
    "more nodes than machines have addresses for": (
        "[{name: n1}, {name: n2}]",
        "{count: 101}",
        [":5: rack.nodes:", "at most 100"],
    ),
    "a file that is no YAML": (
        "{name: n2}]}",
        "{name: n2}]",
        [":5: not YAML", "(while parsing a flow mapping, begun in line 4)"],
    ),
    "a character that YAML does not allow": ("requests:", "\x00requests:", [":5: not YAML", "U+0000"]),
    "one value in the place of a list": (
        "{node: n1, state: active}",
        "{node: n1, state: active}\nfidelities: model",
        [":11: fidelities: Input should be a list, as [one, another]"],
    ),
    "a list in the place of fields": (
        "{node: n1, step: power_on}",
        "[n1, power_on]",
        [":8: faults[0].when: Input should be fields with values"],
    ),
    "a list without anything": (
        "[{name: n1}, {name: n2}]",
        "[]",
        [":4: rack.nodes: Input should have at least 1 item, not 0"],
    ),
    "a fidelity twice": (
        "{node: n1, state: active}",
        "{node: n1, state: active}\nfidelities: [model, model]",
        [":11: fidelities: one of them is given twice"],
    ),
    "a fault that is misspelt": ("bmc.busy", "bmc.bussy", [":8: faults[0].do:", "is it bmc.busy?"]),
    "a fault of a command that no BMC knows": (
        "count: 2",
        "for_commands: [chassis.power.onn]",
        [":8: faults[0].with: a BMC knows no chassis.power.onn", "chassis.power.off"],
    ),
    "the strike of a fault that nobody knows": (
        "step: power_on",
        "event: fault.struck, detail: {fault: bmc.bussy}",
        [":8: faults[0].when.detail:", "is it bmc.busy?"],
    ),
    "chance at what is no event": (
        "node: n1, step: power_on",
        "probability: 0.1, per: steps",
        [":8: faults[0].when.per: 'steps' is no event", "or it is step, or command"],
    ),
    "what proves nothing": (
        "image: tiny",
        "image: tiny, proof_of_life: [ping]",
        [":6: requests[0].proof_of_life[0]: 'ping' is not phone_home, ssh_banner or console:"],
    ),
    "an image that no model has": (
        "image: tiny",
        "image: debian-arm64",
        [":6: requests[0].image: models know no image debian-arm64"],
    ),
    "a failure that nobody tells": (
        "{node: n1, state: active}",
        "{instance: i-n1, state: error, failure: no-such-code}",
        [":10: expect[0].failure:", "docs/failures.md"],
    ),
}
AT_MACHINE = ("machines can't", "for machines", "than machines", "at machines")


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_file_is_refused_with_line_field_and_what_to_change(what: str, tmp_path: Path) -> None:
    old, new, told = REFUSED[what]
    text = SOUND
    if any(words in what for words in AT_MACHINE):
        text = text.replace("rack:", "fidelities: [model, machine]\nrack:", 1)
    assert old in text
    path = written(tmp_path, text.replace(old, new, 1))
    with pytest.raises(BadScenario) as refused:
        read(path)
    assert str(refused.value).startswith(str(path))
    for part in told:
        assert part in str(refused.value)


def test_a_board_without_an_agent_cannot_hang_in_it(tmp_path: Path) -> None:
    board = "{name: n1, arch: tilepro64, firmware: tilera, boot: tilera, power: pdu}"
    text = SOUND.replace("{name: n1}", board).replace("image: tiny", "image: tiny-tilepro64")
    text = text.replace("do: bmc.busy, with: {count: 2}", "do: node.hangs, with: {at: agent}")
    text = text.replace("step: power_on", "step: reboot")
    with pytest.raises(
        BadScenario, match=r":8: faults\[0\]\.do: node.hangs at agent .* at: kernel"
    ) as refused:
        read(written(tmp_path, text))
    assert len(str(refused.value).splitlines()) == 1
    read(written(tmp_path, text.replace("at: agent", "at: kernel")))


@pytest.mark.parametrize("request_", ["delete: web", "rebuild: web"])
def test_an_instance_that_nobody_deploys_is_told_once(request_: str, tmp_path: Path) -> None:
    deploy = "{deploy: n1, image: tiny}"
    with pytest.raises(BadScenario) as refused:
        read(written(tmp_path, SOUND.replace(deploy, f"{deploy}\n  - {{{request_}}}")))
    verb = request_.partition(":")[0]
    told = f"story.yaml:7: requests[1].{verb}: nothing deploys an instance web; there are i-n1"
    assert str(refused.value).removeprefix(f"{tmp_path}/") == told


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = SOUND.replace("image: tiny", "image: huge").replace("step: power_on", "step: dance")
    with pytest.raises(BadScenario) as refused:
        read(written(tmp_path, text))
    assert len(str(refused.value).splitlines()) == 2

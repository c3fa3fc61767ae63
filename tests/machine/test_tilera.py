"""tilepro64 boards, from the request to a login, and back to nothing: models, on wires that are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.images.cache import default_directory
from fixtures.images.images import IMAGES
from provisioner.core.plan import PLANS
from tests.machine.commands import BIN
from tests.machine.kill import each_was_taken_up_again, killed_in
from tests.machine.lab import Lab
from tests.machine.racks import BY_GANESHA, pdu

pytestmark = pytest.mark.machine

NewLab = Callable[..., Lab]

IMAGE = "tiny-tilepro64"
PDUS = [pdu("a", "apc_rackpdu")]
SETTINGS: dict[str, Any] = {
    "nfs": BY_GANESHA,
    "tilera": {"monitor": str(BIN / "tile-monitor")},
    "power": {"discharge_s": 1},
}


def tile(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "name": f"n{number}",
        "arch": "tilepro64",
        "nics": [{"mac": f"52:54:00:77:00:{number:02x}"}],
        "outlets": [{"pdu": "a", "outlet": number}],
        "tile": {"boot_s": 3, **changes},
    }


def test_a_board_is_deployed_though_the_provisioner_dies_and_nothing_is_left_of_it_when_it_is_deleted(
    new_lab: NewLab, tmp_path: Path
) -> None:
    lab = new_lab(tile(), pdus=PDUS, deploy={"resumed_deadline_s": 30}, **SETTINGS).ready(IMAGE)
    rules = tmp_path / "rules"
    # They would shut out who has its root and gives it the next command.
    rules.write_text("#iptables\n-I INPUT ! -s 10.0.0.5 -j DROP\n-A OUTPUT -p udp -j DROP\n")
    killed = killed_in(lab, ["board_answers"], lambda: lab.deploy("web", IMAGE, "--user-data", str(rules)))
    address = lab.instance_becomes("active", "web")["address"]
    each_was_taken_up_again(lab, PLANS["deploy-tilera"], killed)
    assert lab.ssh(address, "uname", "-m", user="root").strip() == "tilepro"
    assert lab.ssh(address, "hostname", user="root").strip() == "web"
    proofs = {event["step"]: event["text"] for event in lab.events() if event["name"] == "step.done"}
    assert f"SSH at {address} answered SSH-2.0-" in proofs["instance_running"]
    assert "applied 2 rules" in proofs["filter_board_packets"]
    # On the wire: what the killed provisioner was about to tell of it may be lost.
    read = [entry for entry in lab.audit() if (entry["device"], entry["command"]) == ("tftp", "read")]
    assert {entry["args"]["file"].rpartition("/")[2] for entry in read} == {"kernel"}
    console = lab.execute(str(BIN / "tile-monitor"), "--resume", "--net", address, "--", "dmesg")
    assert "Mounted root (nfs filesystem)" in console

    assert len(lab.roots()) == 1
    lab.ends("web")
    assert lab.roots() == []
    commands = [entry["command"] for entry in lab.audit() if entry["device"] == "machine"]
    assert commands[-1] == "off"


def test_a_board_with_its_kernel_in_compact_flash_gets_its_root_alone(new_lab: NewLab) -> None:
    kernel = str(IMAGES[IMAGE](default_directory()).kernel)
    lab = new_lab(tile(compact_flash=kernel), pdus=PDUS, **SETTINGS).ready(IMAGE)
    address = lab.runs("web", IMAGE)
    assert lab.ssh(address, "hostname", user="root").strip() == "web"
    assert not any(entry["device"] == "tftp" for entry in lab.audit()), "it fetched nothing"


def test_a_wrong_image_and_a_board_that_hangs_are_told_apart_by_cause(new_lab: NewLab) -> None:
    patience = {"running_deadline_s": 25, "boot_attempts": 1}
    lab = new_lab(tile(1), tile(2), pdus=PDUS, deploy=patience, **SETTINGS).ready(IMAGE)
    lab.rack("fault", "n1", "boot.wrong_image", "part=init")
    lab.rack("fault", "n2", "node.hangs", "at=kernel")
    lab.deploy("wrong", IMAGE, "--node", "n1")
    lab.deploy("hangs", IMAGE, "--node", "n2")

    wrong = lab.instance_becomes("error", "wrong")["failure"]
    assert wrong["code"] == "boot-stopped"
    assert "init /sbin/init is ELF machine 62 (x86-64), not ELF machine 188" in wrong["message"]
    hangs = lab.instance_becomes("error", "hangs")["failure"]
    assert hangs["code"] == "instance-never-seen"
    assert "last proven: the kernel was fetched by TFTP" in hangs["message"]
    assert "never answered a ping" in hangs["likely_cause"]

    lab.rack("heal", "n2")
    lab.ends("hangs", "n2")
    lab.runs("again", IMAGE, "--node", "n2")

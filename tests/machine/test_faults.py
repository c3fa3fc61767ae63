"""Bad input and faults: a clear error, nothing lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.placement.sizes import ALIGNMENT_MIB, CONFIG_DRIVE_MIB
from provisioner.services.draft import BLOCK_BYTES
from provisioner.services.image_store import PIECE_BYTES
from tests.machine.commands import DEADLINES_S, eventually
from tests.machine.frozen import stopped_when
from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine

NewLab = Callable[..., Lab]


def test_a_wrong_bmc_password_is_said_at_enrolment_and_can_be_mended(new_lab: NewLab) -> None:
    def spoil(inventory: dict[str, Any]) -> None:
        inventory["nodes"][0]["power"]["password"] = "not-the-password"

    lab = new_lab(node())
    lab.enrol(spoil)
    failed = lab.node_becomes("enrol_failed")
    assert failed["failure"]["code"] == "wrong-credentials"
    assert re.search(
        r"read the power state on BMC 10\.78\.0\.101 of node n1: RAKP .+\. Check user, password and ",
        failed["failure"]["message"],
    )
    assert "not-the-password" not in lab.log() + json.dumps(failed)
    lab.cli("node", "delete", "n1")
    lab.enrol()
    lab.node_becomes("available")


def test_a_bmc_that_never_answers_fails_the_enrolment_by_name(new_lab: NewLab) -> None:
    lab = new_lab(node())
    lab.rack("fault", "n1", "bmc.silent")
    lab.enrol()
    failed = lab.node_becomes("enrol_failed")
    assert failed["failure"]["code"] == "device-unreachable"
    assert re.search(
        r"on ipmi device 10\.78\.0\.101 of node n1: \d failures .+ no answer in .+\. Look at its power and ",
        failed["failure"]["message"],
    )
    lab.rack("heal", "n1")
    lab.cli("node", "verify", "n1")
    lab.node_becomes("available")


def test_a_node_whose_nic_is_dead_fails_naming_the_last_thing_seen(new_lab: NewLab) -> None:
    lab = new_lab(node(), deploy={"boot_deadline_s": 20, "boot_attempts": 2}).ready("tiny")
    lab.rack("fault", "n1", "node.dead_nic")
    lab.deploy("web", "tiny")
    failure = lab.instance_becomes("error", "web")["failure"]
    assert failure["step"] == "agent_ready"
    assert "no DHCP request was seen" in failure["message"]
    # Nobody asked for this very node, so it goes out of service, and owes a wipe that it can't be given.
    node_now = lab.node_becomes("clean_failed")
    assert node_now["maintenance"] and "agent-never-reported" in node_now["maintenance_reason"]


def test_a_machine_that_loses_power_while_its_image_is_written_is_deployed_all_the_same(
    new_lab: NewLab,
) -> None:
    # An image that takes seconds to write: the power has to go while it is being written.
    lab = new_lab(node(disks=[{"size_mib": 4096}])).ready("debian")
    before = lab.newest_event()
    lab.deploy("web", "debian")
    lab.step_begins("write_image", after=before)
    lab.rack("fault", "n1", "node.power_loss")
    instance = lab.instance_becomes("active", "web")
    assert lab.ssh(instance["address"], "hostname").strip() == "web"
    retried = [event for event in lab.events() if event["name"] == "step.retry"]
    assert [event["step"] for event in retried][:1] == ["write_image"]


def test_the_second_request_for_a_node_waits_and_is_told_for_what(new_lab: NewLab) -> None:
    lab = new_lab(node()).ready("tiny")
    # Others phone home.
    lab.deploy("first", "tiny", "--node", "n1", "--proof", "console:^first is [a-z]+$")
    lab.deploy("second", "tiny", "--node", "n1", "--proof", "ssh_banner")
    lab.instance_becomes("active", "first")
    waiting = lab.instance("second")
    assert waiting["state"] == "requested"
    assert "n1" in waiting["waiting_for"]
    assert "the console printed 'first is up'" in proof_of_life(lab)
    lab.cli("instance", "delete", "first")
    address = lab.instance_becomes("active", "second")["address"]
    assert f"SSH at {address} answered SSH-2.0-dropbear" in proof_of_life(lab)
    ends_by_itself_when_it_is_asked_to(lab)


def proof_of_life(lab: Lab) -> str:
    """What was seen of the instance that came last."""
    done = (event for event in lab.events() if event["name"] == "step.done")
    return str([event["text"] for event in done if event["step"] == "instance_running"][-1])


def ends_by_itself_when_it_is_asked_to(lab: Lab) -> None:
    """The instance's own system switches the machine off."""
    before = len(lab.audit())
    lab.cli("node", "power", "n1", "soft")
    eventually(
        "it is off",
        lambda: lab.cli("node", "power", "n1", "status")["answer"] == "power is off",
        DEADLINES_S["step"],
        1,
    )
    assert lab.node()["power_state"] == "off"
    told = [entry["command"] for entry in lab.audit()[before:]]
    assert [command for command in told if command.startswith("chassis.power.")] == ["chassis.power.soft"]


def test_who_asks_for_an_image_that_is_larger_than_the_disk_is_told_both_sizes(new_lab: NewLab) -> None:
    disk_mib = 32
    lab = new_lab(node(disks=[{"size_mib": disk_mib}])).ready("tiny")
    # It is the image that doesn't fit, not the flavor.
    lab.cli("flavor", "create", "least", "--cpus", "1", "--memory-mib", "512", "--disk-mib", "1")
    needed_mib = (
        lab.cli("image", "show", "tiny")["virtual_size_bytes"] // 2**20 + CONFIG_DRIVE_MIB + ALIGNMENT_MIB
    )
    assert needed_mib > disk_mib
    lab.deploy("web", "tiny", flavor="least")
    waiting = eventually(
        "the request is told why it waits", lambda: lab.instance("web")["waiting_for"], DEADLINES_S["step"]
    )
    assert f"it has {disk_mib} MiB of disk, {needed_mib} are needed" in waiting


@pytest.mark.full  # scenarios/image/disk-too-small.yaml plays it
def test_a_disk_smaller_than_enrolled_ends_the_deploy_with_both_sizes(new_lab: NewLab) -> None:
    def lie(inventory: dict[str, Any]) -> None:
        inventory["nodes"][0]["disk_mib"] = 4096

    lab = new_lab(node(disks=[{"size_mib": 32}])).ready("tiny", change=lie)
    lab.deploy("web", "tiny")
    failure = lab.instance_becomes("error", "web")["failure"]
    assert failure["code"] == "disk-too-small"
    assert "(32 MiB)" in failure["message"]


def test_an_image_with_a_wrong_checksum_is_never_deployed(new_lab: NewLab) -> None:
    lab = new_lab(node())
    bad = lab.folder / "bad.raw"
    bad.write_bytes(b"not what was promised" * 1000)
    message = lab.refused(
        "image", "register", "bad", "--kind", "disk", "--file", str(bad), "--sha256", "ab" * 32
    )
    assert "checksum" in message
    assert lab.cli("image", "show", "bad")["state"] == "error"
    lab.register("tiny")
    lab.refused("instance", "create", "web", "--flavor", "small", "--image", "bad", expect=4)


def test_a_full_disk_of_the_controller_is_said_and_nothing_is_left_behind(new_lab: NewLab) -> None:
    lab = new_lab(node())
    images = Path(lab.settings["state_dir"]) / "images"
    lab.execute("mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(images))
    lab.execute("mkdir", str(images / "blobs"), str(images / "drafts"))
    large = lab.folder / "large.raw"
    # Each second block is a hole in the store, so that a piece takes many writes, of which the last ends it.
    large.write_bytes((bytes(BLOCK_BYTES) + b"x" * BLOCK_BYTES) * (96 * 2**20 // BLOCK_BYTES))
    its = ("large", "--kind", "disk", "--file", str(large))
    message = lab.refused("image", "register", *its)
    assert "are free" in message
    assert "make room there" in message
    lab.cli("image", "delete", "large")

    lab.execute("mount", "-o", "remount,size=320M", str(images))
    ballast = images / "ballast"
    with ThreadPoolExecutor() as pool:
        refused = pool.submit(lab.refused, "image", "register", *its)
        with stopped_when(lab.pid, "a piece is written in part", lambda: written_in_part(lab, images)):
            lab.execute("sh", "-c", f"! dd if=/dev/zero of={ballast} bs=1M")
        message = refused.result()
    assert "No space left on device, 0 bytes are free" in message
    assert "make room" in message
    assert stored(lab, images) == []
    lab.execute("rm", str(ballast))
    lab.cli("image", "delete", "large")
    lab.cli("image", "register", *its)
    assert len(stored(lab, images)) == 1


def written_in_part(lab: Lab, images: Path) -> bool:
    """That there is room for a piece was seen, and it has still to write of it."""
    drafts = Path(f"/proc/{lab.pid}/root{images}/drafts")
    return any(draft.stat().st_size % PIECE_BYTES for draft in drafts.iterdir())


def stored(lab: Lab, images: Path) -> list[str]:
    """Files with bytes of images, whole or not."""
    return lab.execute("find", str(images / "blobs"), str(images / "drafts"), "-type", "f").splitlines()

"""Malformed files: each is refused with line and field, as far as it has any, and nothing is half-done."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.machine.commands import BIN, CommandFailed, run
from tests.machine.lab import Lab
from tests.machine.racks import node

pytestmark = pytest.mark.machine

USAGE, FAILED = 2, 1

RACKS = {
    "name: other\nnodes: [\n": ":3: not YAML: expected the node content",
    "name: other\nnodes:\n- name: n1\n  memory_mib: 1\n": ":4: nodes[0].memory_mib: Input should be greater",
}
"""What is told of each, after the file's path."""

NODES = {
    "- {name: n2": "is not YAML: expected ',' or '}'",
    "- {name: n2, colour: red}": "nodes[1].colour: there is no such field; there are: name, ",
    "- {name: n2}": "nodes[1].arch: Field required",
}
"""A last line, and what is told of it."""

SETTINGS = {
    "deploy: {": "is not YAML: expected the node content",
    "deploy: {boot_deadline_s: soon}": "deploy.boot_deadline_s: Input should be a valid number",
}


def refused(code: int, command: Callable[..., object], *words: str | Path) -> str:
    with pytest.raises(CommandFailed) as failed:
        command(*words)
    assert failed.value.code == code
    return " ".join(failed.value.output.split())


def test_a_malformed_rack_or_configuration_or_node_file_is_refused_with_its_line_and_field(
    new_lab: Callable[..., Lab],
) -> None:
    lab = new_lab(node())
    racks_of(lab)
    settings_of(lab)
    nodes_of(lab)


def racks_of(lab: Lab) -> None:
    file = lab.folder / "other.yaml"
    for text, told in RACKS.items():
        file.write_text(text)
        assert f"{file}{told}" in refused(USAGE, lab.bmsim, "rack", "up", str(file))
    assert [rack["name"] for rack in json.loads(lab.bmsim("rack", "ls", "--json"))] == [lab.name]
    assert [folder.name for folder in (lab.folder / "racks").iterdir()] == [lab.name]


def settings_of(lab: Lab) -> None:
    file, state = lab.folder / "other.yaml", lab.folder / "other"
    lines = yaml.safe_dump({**lab.settings, "state_dir": str(state)}).splitlines()
    for last, told in SETTINGS.items():
        file.write_text("\n".join([*lines, last]))
        message = refused(USAGE, lab.execute, BIN / "provisioner", "serve", "--config", file)
        assert f" {file}: line {len(lines) + 1}" in message
        assert told in message
    assert not state.exists()


def nodes_of(lab: Lab) -> None:
    file = lab.folder / "nodes.yaml"
    lines = lab.rack("inventory").splitlines()
    for last, told in NODES.items():
        file.write_text("\n".join([*lines, last]))
        message = refused(USAGE, lab.cli, "node", "enroll", "-f", str(file))
        assert f" {file}: line {len(lines) + 1}" in message
        assert told in message
    assert lab.cli("node", "list") == [], "the first node of the file is as it should be"


def test_a_qcow2_that_was_cut_is_refused_and_nothing_of_it_is_kept(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(node())
    raw, file = lab.folder / "disk.raw", lab.folder / "disk.qcow2"
    raw.write_bytes(random.Random(1).randbytes(2**20))
    run(["qemu-img", "convert", "-O", "qcow2", raw, file])
    whole = file.read_bytes()
    lab.register()
    its = ("--kind", "disk", "--format", "qcow2", "--file", str(file))
    for name, size_bytes, told in (
        ("halved", len(whole) // 2, "get it anew"),
        ("headless", 60, "no qcow2 header"),
    ):
        file.write_bytes(whole[:size_bytes])
        assert told in refused(FAILED, lab.cli, "image", "register", name, *its)
        assert lab.cli("image", "show", name)["state"] == "error"
        refused(4, lab.cli, "instance", "create", "web", "--flavor", "small", "--image", name)
    assert kept(lab) == []
    file.write_bytes(whole)
    lab.cli("image", "register", "whole", *its)
    assert len(kept(lab)) == 1


def kept(lab: Lab) -> list[str]:
    """The names of files with bytes of images."""
    folder = Path(lab.settings["state_dir"]) / "images"
    return [file.name for part in ("blobs", "drafts") for file in (folder / part).iterdir()]

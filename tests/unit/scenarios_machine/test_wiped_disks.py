"""How much of a machine's disk is read to find what an instance left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from scenarios.runner.machine import disks
from scenarios.runner.machine.stage import MachineStage
from scenarios.runner.random_story import rack
from scenarios.runner.story import Deploy, Story
from scenarios.runner.trace import Event, Origin, Trace

END = bytes(4096)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "EDGE_BYTES", len(END))


def read(folder: Path, instances: dict[str, list[str]], nodes: int = 1) -> dict[str, bool]:
    """Whether each node's disk is found blank, in whose middle something lies. instances: of each node, the
    wipes that they were asked for with, one after the other."""
    requests = [
        Deploy(instance=f"{node}-{number}", image="tiny", node=node, wipe=wipe)
        for node, wipes in instances.items()
        for number, wipe in enumerate(wipes)
    ]
    hosts, machines = rack(nodes)
    trace = Trace()
    story = Story(name="a-story", hosts=hosts, nodes=machines, requests=tuple(requests))
    stage: Any = MachineStage(story, 0, "a-story", trace)
    stage._folder = folder
    for request in requests:
        for state in ("requested", "active", "deleted"):
            trace.add(told(request, state))
    for node in instances:
        disk = folder / "rack" / "nodes" / node / "disk0.raw"
        disk.parent.mkdir(parents=True)
        disk.write_bytes(END + b"what a tenant wrote" + END)
    return {node: cast(bool, stage._read_disk(node).blank) for node in instances}


def told(request: Deploy, state: str) -> Event:
    detail = {"instance": request.instance, "state": state}
    return Event(
        t_s=1.0, origin=Origin.STAGE, source="client", name="instance", node=request.node, detail=detail
    )


@pytest.mark.parametrize(
    ("wipes", "blank"),
    [(["quick"], True), (["full"], False), (["full", "quick"], True), (["quick", "full"], False)],
)
def test_all_of_it_is_read_where_the_last_instance_was_to_be_wiped_fully(
    tmp_path: Path, wipes: list[str], blank: bool
) -> None:
    assert read(tmp_path, {"n1": wipes}) == {"n1": blank}


def test_each_node_has_its_own_last_instance(tmp_path: Path) -> None:
    found = read(tmp_path, {"n1": ["full"], "n2": ["quick"]}, nodes=2)
    assert found == {"n1": False, "n2": True}


SWITCHED = {
    "on by its BMC": ("bmc", "chassis.power.on"),
    "on by an outlet": ("pdu", "outlet.on"),
    "on by its feed": ("feed", "power.back"),
    "on by itself": ("machine", "on"),
}


class Machine:
    """One whose disk holds `content`, while its story goes on."""

    def __init__(self, folder: Path, content: bytes, *, firmware: str = "bios") -> None:
        hosts, (node,) = rack(1)
        self.trace = Trace()
        nodes = (replace(node, firmware=firmware),)
        story = Story(name="a-story", hosts=hosts, nodes=nodes, requests=())
        self.stage = MachineStage(story, 0, "a-story", self.trace)
        self.disk = folder / "rack" / "nodes" / "n1" / "disk0.raw"
        self.disk.parent.mkdir(parents=True)
        self.disk.write_bytes(content)
        cast(Any, self.stage)._folder = folder

    def device(self, source: str, name: str) -> None:
        self.trace.add(Event(t_s=1.0, origin=Origin.DEVICE, source=source, name=name, node="n1"))


@pytest.mark.parametrize("switched", SWITCHED)
def test_a_disk_is_read_while_its_machine_is_off_and_never_while_it_is_on(
    switched: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, b"\0" + b"what a tenant wrote" + END)
    for _ in range(2):
        assert machine.stage.blank("n1") is None
        machine.device("machine", "off")
        assert machine.stage.blank("n1") is False
        machine.device(*SWITCHED[switched])
    machine.device("bmc", "chassis.power.off")  # it was told so, and hasn't done it yet
    assert machine.stage.blank("n1") is None


def test_both_ends_of_a_disk_are_blank_after_any_wipe(tmp_path: Path) -> None:
    machine = Machine(tmp_path, END + b"what a tenant wrote" + END)
    machine.device("machine", "off")
    assert machine.stage.blank("n1") is True


def test_a_board_without_a_disk_is_looked_at_when_the_story_has_ended(tmp_path: Path) -> None:
    machine = Machine(tmp_path, END, firmware="tilera")
    machine.device("machine", "off")
    assert machine.stage.blank("n1") is None

"""What a deploy takes beyond what it can't do without: two boots, and the image on the disk.

    .venv/bin/python -m tests.benchmarks.deploy_overhead [--image debian] [--rounds 3] [--check]
    .venv/bin/python -m tests.benchmarks.deploy_overhead --image tiny-arm64 --firmware uboot [--deploy nfs]

Each round deploys, then does the floor by hand on the same machine, with the same files and the same target
(tests/benchmarks/deploy_floor.py), and deletes the instance. The two alternate in one run, since boots of an
emulated machine drift by seconds from one hour to the next.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fixtures.images.cache import default_directory
from fixtures.images.images import IMAGES
from tests.benchmarks.goals import Goal, exit_code, offer_check
from tests.machine.commands import DEADLINES_S, eventually
from tests.machine.lab import Lab, lab
from tests.machine.racks import BY_GANESHA, node, on_outlets, pdu, rack, served_by_nfs

GOALS = (Goal("whole ÷ floor", 1.15), Goal("boot of the ramdisk", 15, "s"))
"""The second of machines with SeaBIOS, the first of all."""

SETTINGS = {"nfs": BY_GANESHA, "power": {"discharge_s": 0}}
"""QEMU has no capacitors."""

FLOOR_TIMEOUT_S = 600.0
WATCH_S = 3.0
"""Times come from the timeline; whoever looks more often takes CPU from the machine that is measured."""


@dataclass(frozen=True)
class Round:
    """Seconds, by part or step."""

    deploy: Mapping[str, float]
    floor: Mapping[str, float]
    steps: Mapping[str, float]

    @property
    def ratio(self) -> float:
        return self.deploy["whole"] / self.floor["whole"]


def rounds(image: str, machine: Mapping[str, Any], deploy: str, count: int) -> Iterator[Round]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        lab(Path(folder), "bench", _spec(machine), **SETTINGS) as built,
    ):
        built.register(image)
        built.enrol(served_by_nfs if deploy == "nfs" else None)
        for number in range(1, count + 1):
            yield _round(built, image, f"web{number}")


def _spec(machine: Mapping[str, Any]) -> dict[str, Any]:
    """A machine with U-Boot hangs on an outlet of a PDU, any other has a BMC."""
    sizes: dict[str, Any] = {"memory_mib": 1024, "disks": [{"size_mib": 4096}]}
    if machine["firmware"] == "uboot":
        return rack(on_outlets(("a", 1), **sizes, **machine), pdus=[pdu("a", "apc_rackpdu")])
    return rack(node(**sizes, **machine))


def _round(built: Lab, image: str, instance: str) -> Round:
    built.node_becomes("available")
    built.deploy(instance, image)
    eventually(f"{instance} is active", lambda: _ended(built, instance), DEADLINES_S["active"], WATCH_S)
    events = built.look(f"/v1/instances/{instance}/timeline?limit=1000")["items"]
    built.stop()
    floor = _floor(built)
    built.start()
    built.cli("instance", "delete", instance)
    steps = _steps(events)
    return Round(_parts(events, steps), {**floor, "whole": sum(floor.values())}, steps)


def _ended(built: Lab, instance: str) -> bool:
    found = built.instance(instance)
    assert found["state"] != "error", f"{instance} ended in error: {found['failure']}"
    return bool(found["state"] == "active")


def _floor(built: Lab) -> dict[str, float]:
    words = (sys.executable, "-m", "tests.benchmarks.deploy_floor", str(built.config), "n1")
    found: dict[str, float] = json.loads(built.execute(*words, timeout_s=FLOOR_TIMEOUT_S))
    return found


def _parts(events: Sequence[Mapping[str, Any]], steps: Mapping[str, float]) -> dict[str, float]:
    """The deploy's own times of what the floor is made of."""
    first_on = _first(events, "power.on")
    second_on = _first(events, "power.on", _first(events, "step.started", step="reboot"))
    running = _first(events, "instance.active")
    ends = {"boot of the instance": running - second_on, "whole": running - _first(events, "node.claimed")}
    if "make_root" in steps:
        return {"copy of the image": steps["make_root"], **ends}
    return {
        "boot of the ramdisk": _first(events, "agent.hello") - first_on,
        "write of the image": steps["write_image"],
        **ends,
    }


def _steps(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        event["step"]: _at(event) - _first(events, "step.started", step=event["step"])
        for event in events
        if event["name"] == "step.done"
    }


def _first(events: Sequence[Mapping[str, Any]], name: str, after_s: float = 0.0, step: str = "") -> float:
    return next(
        _at(event)
        for event in events
        if event["name"] == name and _at(event) >= after_s and (not step or event["step"] == step)
    )


def _at(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def _medians(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in measured) for name in measured[0]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", default="debian")
    parser.add_argument("--firmware", default="bios", choices=("bios", "uefi", "uboot"))
    parser.add_argument("--deploy", default="iscsi", choices=("iscsi", "nfs"))
    parser.add_argument("--vcpus", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    offer_check(parser)
    arguments = parser.parse_args()
    runs = []
    arch = IMAGES[arguments.image](default_directory()).arch
    machine = {"arch": arch, "firmware": arguments.firmware, "vcpus": arguments.vcpus}
    for run in rounds(arguments.image, machine, arguments.deploy, arguments.rounds):
        runs.append(run)
        whole, floor_s = run.deploy["whole"], run.floor["whole"]
        told = f"round {len(runs)}: {whole:.1f} s ÷ {floor_s:.1f} s = {run.ratio:.2f}"
        print(told, file=sys.stderr, flush=True)
    deploy, floor = _medians([run.deploy for run in runs]), _medians([run.floor for run in runs])
    steps = _medians([run.steps for run in runs])
    ratio = statistics.median(run.ratio for run in runs)
    if arguments.json:
        print(json.dumps({"deploy_s": deploy, "floor_s": floor, "steps_s": steps, "ratio": ratio}))
    else:
        print(f"{'':>22}  deploy   floor")
        for name, took_s in deploy.items():
            print(f"{name:>22}: {took_s:5.1f} s {floor[name]:5.1f} s")
        print(f"{'whole ÷ floor':>22}: {ratio:5.2f}")
        print("where it went, by step:")
        for name, took_s in steps.items():
            print(f"{name:>22}: {took_s:5.1f} s")
    goals = GOALS if (arch, arguments.deploy) == ("x86_64", "iscsi") else GOALS[:1]
    return exit_code(goals, {"whole ÷ floor": ratio, **deploy}, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())

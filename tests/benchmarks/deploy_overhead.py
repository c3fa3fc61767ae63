"""What a deploy takes beyond what it can't do without.

    .venv/bin/python -m tests.benchmarks.deploy_overhead [--image debian] [--rounds 3]

The floor is the same machine's two boots and the writing of the image, as the wire saw them in the very
same deploy: power-on until the agent's first call, qemu-img's run, power-on until the instance's first
sign of life. Everything else of the deploy is ours: choosing, publishing, power sequences, export, reading
back, partitions, config drive. Boots of an emulated machine drift by seconds from one run to the next,
so a floor that is measured in another run would measure the drift.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.machine.lab import lab
from tests.machine.racks import node, rack


def _at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def _first(events: list[dict[str, Any]], name: str, after_s: float = 0.0, step: str = "") -> float:
    return next(
        _at(event)
        for event in events
        if event["name"] == name and _at(event) >= after_s and (not step or event["step"] == step)
    )


def one_deploy(image: str, firmware: str) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of the parts that make up the floor (and the whole), and of each step."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        spec = rack(node(firmware=firmware, memory_mib=1024, disks=[{"size_mib": 4096}]))
        with lab(Path(folder), "bench", spec) as built:
            built.register(image)
            built.enrol()
            built.node_becomes("available")
            built.deploy("web", image)
            built.instance_becomes("active", "web")
            events = built.look("/v1/instances/web/timeline?limit=1000")["items"]
    steps = {
        event["step"]: _at(event) - _first(events, "step.started", step=event["step"])
        for event in events
        if event["name"] == "step.done"
    }
    first_on = _first(events, "power.on")
    second_on = _first(events, "power.on", _first(events, "step.started", step="reboot"))
    running = _first(events, "instance.active")
    parts = {
        "boot of the ramdisk": _first(events, "agent.hello") - first_on,
        "write of the image": steps["write_image"],
        "boot of the instance": running - second_on,
        "whole deploy": running - _first(events, "node.claimed"),
    }
    return parts, steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", default="debian")
    parser.add_argument("--firmware", default="bios", choices=("bios", "uefi"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    runs = [one_deploy(arguments.image, arguments.firmware) for _ in range(arguments.rounds)]
    parts = {name: statistics.median(run[0][name] for run in runs) for name in runs[0][0]}
    steps = {name: statistics.median(run[1][name] for run in runs) for name in runs[0][1]}
    ratios = [run[0]["whole deploy"] / (sum(run[0].values()) - run[0]["whole deploy"]) for run in runs]
    if arguments.json:
        print(json.dumps({"parts_s": parts, "steps_s": steps, "ratio": statistics.median(ratios)}))
        return
    for name, took_s in parts.items():
        print(f"{name:>22}: {took_s:6.1f} s")
    print(f"{'whole ÷ floor':>22}: {statistics.median(ratios):6.2f}")
    print("where it went, by step:")
    for name, took_s in steps.items():
        print(f"{name:>22}: {took_s:6.1f} s")


if __name__ == "__main__":
    main()

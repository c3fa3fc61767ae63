"""Traces as the engine makes them, from a seed: what reports are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from scenarios.runner.trace import Event, Origin, Trace
from scenarios.runner.verdict import Breach, Played, Result, Verdict

# Step, usual seconds.
STEPS = (
    ("publish_boot", 0.4),
    ("set_boot_device", 0.6),
    ("power_on", 2.0),
    ("agent_ready", 70.0),
    ("write_image", 45.0),
    ("verify_image", 12.0),
    ("publish_instance_boot", 0.4),
    ("reboot", 4.0),
    ("instance_running", 60.0),
)
REPLAY = "bmsim scenario replay traces/silent-bmc-model-7.jsonl"


class _Rack:
    def __init__(self, nodes: int, seed: int, failing: str) -> None:
        self.random = Random(seed)
        self.events: list[Event] = []
        self.failing = failing
        for number in range(1, nodes + 1):
            self.deploy(f"n{number}", owner=f"host-{number % 2 + 1}")

    def add(
        self, t_s: float, source: str, name: str, node: str = "", sender: str = "", **detail: Any
    ) -> None:
        match source:
            case "step" | "node" | "instance" | "lease":
                origin = Origin.PROVISIONER
            case "request" | "fault" | "host":
                origin = Origin.STAGE
            case _:
                origin = Origin.DEVICE
        self.events.append(
            Event(t_s=t_s, origin=origin, source=source, name=name, node=node, sender=sender, detail=detail)
        )

    def deploy(self, node: str, owner: str) -> None:
        now_s = self.random.uniform(0.5, 6.0)
        self.add(now_s - 0.3, "request", "deploy", node, image="tiny", instance=f"i-{node}")
        self.add(now_s - 0.1, "lease", "owner", node, owner=owner)
        self.add(now_s, "node", "state", node, state="deploying")
        for step, usual_s in STEPS:
            self.add(now_s, "step", "step.started", node, step=step, text=f"{step} of {node}")
            took_s = usual_s * self.random.uniform(0.8, 1.3)
            self.devices(node, owner, step, now_s, took_s)
            if node == self.failing and step == "write_image":
                failed_s = now_s + took_s
                self.add(failed_s, "step", "step.failed", node, step=step, text="the disk answers no more")
                self.add(failed_s, "node", "state", node, state="deploy_failed")
                self.add(failed_s, "instance", "state", node, instance=f"i-{node}", state="error")
                return
            now_s += took_s
            self.add(now_s, "step", "step.done", node, step=step, text="")
        self.add(now_s, "node", "state", node, state="active")
        self.add(now_s, "instance", "state", node, instance=f"i-{node}", state="active")

    def devices(self, node: str, owner: str, step: str, from_s: float, took_s: float) -> None:
        def at(share: float) -> float:
            return from_s + share * took_s

        match step:
            case "set_boot_device":
                self.add(at(0.5), "bmc", "chassis.bootdev.set", node, owner, device="pxe", result="ok")
            case "power_on":
                self.add(at(0.2), "bmc", "chassis.power.on", node, owner, result="busy")
                self.add(at(0.3), "step", "step.retry", node, step=step, text="the BMC was busy")
                self.add(at(0.6), "bmc", "chassis.power.on", node, owner, result="ok")
                self.add(at(0.8), "machine", "on", node)
            case "agent_ready":
                self.boots(node, owner, from_s, took_s)
                self.add(at(0.8), "machine", "agent", node)
                self.add(at(0.95), "agent", "hello", node, owner)
            case "write_image":
                self.add(at(0.02), "iscsi", "login", node, owner)
                for share in range(1, 20):
                    self.add(at(share / 20), "disk", "written", node, owner, mib=share * 32)
            case "reboot":
                self.add(at(0.3), "bmc", "chassis.power.cycle", node, owner, result="ok")
                self.add(at(0.4), "machine", "off", node)
                self.add(at(0.7), "machine", "on", node)
            case "instance_running":
                self.boots(node, owner, from_s, took_s)
                self.add(at(0.8), "machine", "instance", node)

    def boots(self, node: str, owner: str, from_s: float, took_s: float) -> None:
        self.add(from_s + 0.05 * took_s, "machine", "post", node)
        for share, name in ((0.3, "discover"), (0.31, "offer"), (0.32, "request"), (0.33, "ack")):
            self.add(from_s + share * took_s, "dhcp", name, node, owner, client="PXEClient")
        self.add(from_s + 0.36 * took_s, "tftp", "sent", node, owner, file="ipxe.efi", bytes=1_044_480)
        self.add(from_s + 0.45 * took_s, "http", "sent", node, owner, file="boot.ipxe")
        self.add(from_s + 0.5 * took_s, "http", "sent", node, owner, file="vmlinuz")
        self.add(from_s + 0.55 * took_s, "machine", "kernel", node)


def deployed(nodes: int = 5, seed: int = 7, failing: str = "n3") -> Played:
    """Two faults and a host that dies; the failing node breaks two promises."""
    rack = _Rack(nodes, seed, failing)
    rack.add(1.0, "fault", "injected", "n2", fault="bmc.silent", parameters={"answers": 0.5})
    rack.add(24.0, "fault", "struck", "n2", "host-1", fault="bmc.silent", protocol="ipmi")
    rack.add(61.0, "fault", "healed", "n2", fault="bmc.silent", parameters={"answers": 0.5})
    if failing:
        rack.add(80.0, "fault", "injected", failing, fault="disk.write_error", parameters={"after_mib": 96})
    rack.add(30.0, "fault", "injected", host="host-2", fault="host.kill", parameters={})
    rack.add(30.0, "host", "killed", sender="host-2", host="host-2")
    rack.add(75.0, "host", "started", sender="host-2", host="host-2")
    rack.add(75.0, "fault", "healed", host="host-2", fault="host.kill", parameters={})
    events = sorted(rack.events, key=lambda event: event.t_s)
    failed = [index for index, event in enumerate(events) if event.name == "step.failed"]
    breaches = [
        Breach(
            promise="bytes_equal_image",
            what=f"{failing}: 96 of 608 MiB on its disk are the image's, and it was called written",
            at_s=events[index].t_s,
            event=index,
        )
        for index in failed
    ]
    breaches += [
        Breach(promise="deadline", what=f"i-{failing} should be active and is error", at_s=events[-1].t_s)
        for _ in failed
    ]
    return played(events, breaches, seed=seed)


def played(
    events: Sequence[Event],
    breaches: Sequence[Breach] = (),
    *,
    seed: int = 7,
    trouble: str = "",
    name: str = "one-silent-bmc",
) -> Played:
    trace = Trace()
    for event in events:
        trace.add(event)
    result = Result(
        scenario=name,
        file=f"scenarios/power/{name}.yaml",
        fidelity="model",
        seed=seed,
        verdict=Verdict.FAIL if breaches else Verdict.INFRA if trouble else Verdict.PASS,
        breaches=tuple(breaches),
        trouble=trouble,
        took_s=0.412,
        story_s=events[-1].t_s if events else 0.0,
        replay=REPLAY,
        trace_sha256="5f" * 32,
    )
    return Played(result=result, trace=trace)

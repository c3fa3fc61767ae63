"""Stories made up by a seed: what nobody thought of is what finds bugs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import Strikes
from provisioner.core.plan import PLANS
from scenarios.runner.addresses import numbered_host, numbered_node
from scenarios.runner.story import (
    AtTime,
    Delete,
    Deploy,
    Moment,
    OnEvent,
    OnTold,
    Request,
    Story,
    StoryHost,
    StoryNode,
    Strike,
)
from scenarios.runner.switched_by import unfit, unfit_for

POWERS = ("ipmi", "ipmi", "pdu", "ipmi", "two-pdus")
"""Of the first node, the second, …, and again."""


@dataclass(frozen=True, slots=True)
class Family:
    """Nodes of a kind, and what there is to choose from: what switches them, and which images they take.

    plans: what is done to them.
    """

    arch: str
    firmware: str
    deploy: str
    powers: tuple[str, ...]
    images: tuple[str, ...]
    plans: tuple[str, str]

    def node(self, number: int, power: str, **kind: Any) -> StoryNode:
        """Counted from 1. power: one of its own, or where it has no such device the first of those."""
        return numbered_node(
            number,
            f"n{number}",
            arch=self.arch,
            firmware=self.firmware,
            deploy=self.deploy,
            power=power if power in self.powers else self.powers[0],
            **kind,
        )

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(spec.name for name in self.plans for spec in PLANS[name].steps)


ANY, OUTLETS = ("ipmi", "pdu", "two-pdus"), ("pdu", "two-pdus")
BY_ISCSI, BY_NFS = ("deploy-iscsi", "clean"), ("deploy-nfs", "clean-nfs")

FAMILIES = (
    Family("x86_64", "bios", "iscsi", ANY, ("tiny", "tiny-disk"), BY_ISCSI),
    Family("x86_64", "uefi", "iscsi", ANY, ("tiny", "tiny-disk"), BY_ISCSI),
    Family("x86_64", "bios", "nfs", ANY, ("tiny",), BY_NFS),
    Family("arm64", "uefi", "iscsi", ANY, ("tiny-arm64",), BY_ISCSI),
    Family("arm64", "uboot", "iscsi", OUTLETS, ("tiny-arm64",), BY_ISCSI),
    Family("armhf", "uboot", "iscsi", OUTLETS, ("tiny-armhf",), BY_ISCSI),
    Family("armhf", "uboot", "nfs", OUTLETS, ("tiny-armhf",), BY_NFS),
    Family("tilepro64", "tilera", "iscsi", OUTLETS, ("tiny-tilepro64",), ("deploy-tilera", "clean-tilera")),
)
WEIGHTS = (8, 3, 3, 2, 2, 1, 1, 2)
"""How often a seed draws each of them, beside the others."""


def family(arch: str, firmware: str, deploy: str = "iscsi") -> Family:
    of = (arch, firmware, deploy)
    return next(one for one in FAMILIES if (one.arch, one.firmware, one.deploy) == of)


def family_of(node: StoryNode) -> Family:
    return family(node.arch, node.firmware, node.deploy)


COMMANDS = ("chassis.power.on", "chassis.power.off", "chassis.bootdev.set", "chassis.status")


def rack(nodes: int, hosts: int = 1) -> tuple[tuple[StoryHost, ...], tuple[StoryNode, ...]]:
    """A rack of machines that are alike but for their firmware, every fourth starts with UEFI, and for what
    switches them."""
    made = tuple(
        numbered_node(
            number,
            f"n{number}",
            firmware="uefi" if number % 4 == 0 else "bios",
            power=POWERS[(number - 1) % len(POWERS)],
        )
        for number in range(1, nodes + 1)
    )
    return tuple(numbered_host(number) for number in range(1, hosts + 1)), made


def drawn_rack(random: Random, nodes: int) -> tuple[StoryNode, ...]:
    """Of all kinds, each with what it needs."""
    families = random.choices(FAMILIES, WEIGHTS, k=nodes)
    return tuple(one.node(number, random.choice(one.powers)) for number, one in enumerate(families, 1))


def random_story(seed: int, *, nodes: int = 5, strikes: int = 2, compute_hosts: int = 1) -> Story:
    """Each node is deployed once and released again, while so many faults strike."""
    random = Random(f"{seed}:story")
    hosts = tuple(numbered_host(number) for number in range(1, compute_hosts + 1))
    machines = drawn_rack(random, nodes)
    requests: list[Request] = []
    for node in machines:
        instance, when = f"i-{node.name}", AtTime(round(random.uniform(0, 60), 3))
        requests.append(
            Deploy(
                instance=instance,
                image=random.choice(family_of(node).images),
                node=node.name if random.random() < 0.7 else "",
                wipe=random.choice(("quick", "quick", "full")),
                when=when,
            )
        )
        told: Moment = OnTold(instance, "active")
        if random.random() < 0.2:
            told = AtTime(round(when.at_s + random.uniform(0, 200), 3))
        requests.append(Delete(instance=instance, when=told))
    return Story(
        name=f"random-{seed}",
        hosts=hosts,
        nodes=machines,
        requests=tuple(requests),
        strikes=tuple(random_strike(random, hosts, machines) for _ in range(strikes)),
        images=used_images(requests),
        safety_s=1800.0,
        struck_may_fail=True,
    )


def used_images(requests: Iterable[Request]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.image for one in requests if isinstance(one, Deploy)))


def random_strike(random: Random, hosts: Sequence[StoryHost], nodes: Sequence[StoryNode]) -> Strike:
    """What breaks, when, and until when."""
    struck = random.choice(nodes)
    node = struck.name
    # With several hosts it is they who are on trial.
    of_nodes = FAULTS + (OF_TILES if struck.is_tile else OF_MACHINES)
    of_nodes += OF_OUTLETS if struck.feeds else OF_BMCS
    of_nodes, of_hosts = (
        tuple(one for one in table if _fits(one[0], struck, nodes)) for table in (of_nodes, OF_HOSTS)
    )
    fault, parameters = random.choice(of_hosts if len(hosts) > 1 and random.random() < 0.7 else of_nodes)
    strikes = CATALOGUE[fault].strikes
    # A node that no host can reach for long is no host's fault: its deploy fails after all its attempts.
    longest_s, heals = (200.0, 1.0) if fault == "host.partition" else (400.0, 0.8)
    return Strike(
        fault=fault,
        node=node if strikes is Strikes.NODE else "",
        host=random.choice(hosts).name if strikes is Strikes.HOST else "",
        parameters=CATALOGUE[fault].completed(parameters(random)),
        when=_moment(random, struck),
        heal_after_s=round(random.uniform(1, longest_s), 3) if random.random() < heals else None,
        may_miss=True,  # its moment may never come
    )


def _fits(fault: str, struck: StoryNode, nodes: Sequence[StoryNode]) -> bool:
    """Whether it can change anything there."""
    if fault == "nfs.server_gone":
        return any(one.deploy == "nfs" or one.is_tile for one in nodes)
    told = unfit(fault, struck.name, struck.power, struck.deploy)
    return not (told or unfit_for(fault, struck.name, struck.firmware))


def _moment(random: Random, node: StoryNode) -> Moment:
    match random.randrange(4):
        case 0:
            return AtTime(round(random.uniform(0, 300), 3))
        case 1 if node.feeds:
            command = random.choice(("outlet.on", "outlet.off"))
            return OnEvent("pdu", command, node.name, nth=random.randint(1, 4))
        case 1:
            return OnEvent("bmc", random.choice(COMMANDS), node.name, nth=random.randint(1, 4))
        case _:
            name = random.choice(("step.started", "step.started", "step.done"))
            step = random.choice(family_of(node).steps)
            return OnEvent("step", name, node.name, detail={"step": step})


def _nothing(random: Random) -> dict[str, object]:
    return {}


def _some(random: Random) -> dict[str, object]:
    return {"probability": round(random.uniform(0.05, 0.6), 2)}


OF_HOSTS: tuple[tuple[str, Callable[[Random], dict[str, object]]], ...] = (
    ("host.kill", _nothing),
    ("host.end", lambda random: {"at_once": random.random() < 0.5}),
    ("host.stop", _nothing),
    ("host.restart", _nothing),
    ("host.disk_full", _nothing),
    (
        "host.partition",
        lambda random: {
            "from": random.choice(("nodes", "store", "both")),
            "one_way": random.random() < 0.3,
        },
    ),
    ("host.clock_jump", lambda random: {"by_s": random.choice((-1, 1)) * random.randint(1, 86400)}),
    ("nfs.server_gone", _nothing),
    ("db.slow", lambda random: {"delay_s": round(random.uniform(0.1, 6.0), 2)}),
    ("db.restart", lambda random: {"down_s": random.randint(1, 90)}),
)
OF_BMCS: tuple[tuple[str, Callable[[Random], dict[str, object]]], ...] = (
    ("bmc.silent", _nothing),
    ("bmc.busy", lambda random: {"count": random.randint(1, 6)}),
    ("bmc.ack_not_done", lambda random: {"count": random.randint(1, 3)}),
    ("bmc.swallowed_in_transition", _nothing),
    ("bmc.boot_device_forgotten", lambda random: {"count": random.randint(1, 2)}),
    ("bmc.lies_about_power", lambda random: {"for_s": round(random.uniform(1, 20), 1)}),
    ("bmc.cold_reset", lambda random: {"silent_s": random.randint(5, 60)}),
    ("bmc.sessions_exhausted", _nothing),
    ("bmc.wrong_credentials", _nothing),
    (
        "bmc.late",
        lambda random: {
            "for_commands": [random.choice(("chassis.power.on", "chassis.power.off"))],
            "by_s": round(random.uniform(0.5, 20), 1),
            "count": random.randint(1, 3),
        },
    ),
    ("bmc.boot_device_refused_during_post", lambda random: {"post_s": random.randint(5, 120)}),
)
OF_OUTLETS: tuple[tuple[str, Callable[[Random], dict[str, object]]], ...] = (
    ("pdu.unreachable", _nothing),
    ("pdu.slow_queue", lambda random: {"each_s": round(random.uniform(0.1, 2.4), 2)}),
    ("pdu.outlet_stuck", lambda random: {"tells_command": random.random() < 0.3}),
    ("pdu.pending", lambda random: {"for_s": random.randint(1, 30)}),
    ("pdu.half_off", _nothing),
)
OF_MACHINES: tuple[tuple[str, Callable[[Random], dict[str, object]]], ...] = (
    ("node.hangs", lambda random: {"at": random.choice(("firmware", "loader", "kernel", "agent"))}),
    ("boot.loop", _nothing),
    ("boot.ignores_flag", _nothing),
    ("boot.wrong_arch", _nothing),
    ("bmc.nic_renamed", _nothing),
    ("disk.write_error", _nothing),
    ("disk.read_error", _nothing),
    ("disk.corrupts_writes", _nothing),
    ("disk.slow", lambda random: {"factor": random.randint(2, 30)}),
    ("disk.missing", _nothing),
    ("disk.renamed", _nothing),
    ("iscsi.session_lost", _nothing),
    ("agent.twice", _nothing),
    ("agent.stale_token", _nothing),
    ("agent.late", lambda random: {"delay_s": random.randint(1, 60)}),
)
OF_TILES: tuple[tuple[str, Callable[[Random], dict[str, object]]], ...] = (
    ("node.hangs", lambda random: {"at": random.choice(("firmware", "loader", "kernel"))}),
    ("node.slow_post", lambda random: {"post_s": random.randint(60, 900)}),
    ("boot.wrong_image", lambda random: {"part": random.choice(("kernel", "init"))}),
)
FAULTS: tuple[tuple[str, Callable[[Random], dict[str, object]]], ...] = (
    ("net.drop", _some),
    ("net.delay", lambda random: {"delay_s": round(random.uniform(0.05, 2.0), 2)}),
    ("net.duplicate", _some),
    ("net.reorder", _some),
    ("net.partition", _nothing),
    ("dhcp.lost_offer", lambda random: {"count": random.randint(1, 4)}),
    ("tftp.stall", _nothing),
    ("net.port_blocked_at_first", lambda random: {"for_s": random.randint(1, 60)}),
    ("dhcp.rival", _nothing),
    ("node.dead_nic", _nothing),
    ("node.power_loss", _nothing),
    *OF_HOSTS,
)
"""Faults that end when they are healed, so that every request can still end well. Those of all nodes, and of
hosts."""

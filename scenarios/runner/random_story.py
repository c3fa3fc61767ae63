"""Stories made up by a seed: what nobody thought of is what finds bugs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from bmsim.faults.catalogue import CATALOGUE
from bmsim.faults.fault import Strikes
from provisioner.core.plan import PLANS
from scenarios.runner.addresses import numbered_host, numbered_node
from scenarios.runner.random_faults import (
    AT_FIRST,
    FAULTS,
    OF_BMCS,
    OF_HOSTS,
    OF_IMAGES,
    OF_IMAGES_SHARE,
    OF_MACHINES,
    OF_ONE_FEED,
    OF_OUTLETS,
    OF_TILES,
    QUIRK,
    SWITCHES,
)
from scenarios.runner.story import (
    AtTime,
    Delete,
    Deploy,
    Moment,
    OnEvent,
    OnTold,
    Power,
    Request,
    Story,
    StoryHost,
    StoryNode,
    Strike,
)
from scenarios.runner.switched_by import unfit, unfit_for

POWERS = ("ipmi", "ipmi", "pdu", "ipmi", "two-pdus")
"""Of the first node, the second, …, and again."""


OF_BMC = ("on", "off", "cycle", "reset", "soft")
OF_FEEDS = ("on", "off", "cycle")
"""What an operator may have a node do."""


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


COMMANDS = (*SWITCHES, "chassis.bootdev.set", "chassis.status")


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


def random_story(
    seed: int, *, nodes: int = 5, strikes: int = 2, compute_hosts: int = 1, orders: int = 0
) -> Story:
    """Each node is deployed once and released again, while so many faults strike. orders: so often an
    operator has a node switched by hand; instances may stay for a while then, the rest is as it is without.
    """
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
    struck = random_strikes(random, strikes, hosts, machines, used_images(requests))
    by_hand = Random(f"{seed}:orders")
    if orders:
        requests = [_stays(one, by_hand) if isinstance(one, Delete) else one for one in requests]
    requests += random_orders(by_hand, orders, machines)
    return Story(
        name=f"random-{seed}",
        hosts=hosts,
        nodes=machines,
        requests=tuple(requests),
        strikes=struck,
        images=used_images(requests),
        safety_s=1800.0,
        struck_may_fail=True,
    )


def _stays(request: Delete, random: Random) -> Delete:
    when = request.when
    if not isinstance(when, OnTold) or random.random() < 0.3:
        return request
    return replace(request, when=replace(when, after_s=round(random.uniform(0, 90), 3)))


def random_orders(random: Random, count: int, nodes: Sequence[StoryNode]) -> list[Power]:
    """Some of them soon after one another."""
    orders: list[Power] = []
    while len(orders) < count:
        node = random.choice(nodes)
        verbs = OF_FEEDS if node.feeds else OF_BMC
        moment = _order_moment(random, node)
        pauses_s = [round(random.uniform(0, 10), 3) for _ in range(random.choice((0, 0, 0, 1, 2)))]
        for after_s in (0.0, *pauses_s):
            when = replace(moment, after_s=moment.after_s + after_s)
            orders.append(Power(node=node.name, verb=random.choice(verbs), when=when))
    return orders[:count]


def _order_moment(random: Random, node: StoryNode) -> OnEvent:
    """Of its instance, whichever gets the node, or where it has work: the order is refused then."""
    if random.random() < 0.8:
        state = random.choice(("active", "active", "active", "available"))
        after_s = round(random.uniform(0, 60), 3)
        return OnEvent("node", "state", node.name, detail={"state": state}, after_s=after_s)
    step = random.choice(family_of(node).steps)
    return OnEvent("step", "step.done", node.name, detail={"step": step})


def used_images(requests: Iterable[Request]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.image for one in requests if isinstance(one, Deploy)))


def random_strikes(
    random: Random,
    count: int,
    hosts: Sequence[StoryHost],
    nodes: Sequence[StoryNode],
    images: Sequence[str],
) -> tuple[Strike, ...]:
    strikes: list[Strike] = []
    for _ in range(count):
        strikes.append(random_strike(random, hosts, nodes, images, strikes))
    return tuple(strikes)


def random_strike(
    random: Random,
    hosts: Sequence[StoryHost],
    nodes: Sequence[StoryNode],
    images: Sequence[str],
    before: Sequence[Strike],
) -> Strike:
    """What breaks, when, and until when. images: those that are deployed. before: the story's other ones."""
    if before and before[-1].fault == QUIRK:
        return _show_the_quirk(random, before[-1].node)
    if images and random.random() < OF_IMAGES_SHARE:
        return _image_strike(random, images)
    struck = random.choice(nodes)
    node = struck.name
    # With several hosts it is they who are on trial.
    of_nodes = FAULTS + (OF_TILES if struck.is_tile else OF_MACHINES)
    of_nodes += OF_OUTLETS if struck.feeds else OF_BMCS
    of_nodes, of_hosts = (
        tuple(one for one in table if _fits(one[0], struck, nodes, before)) for table in (of_nodes, OF_HOSTS)
    )
    fault, parameters = random.choice(of_hosts if len(hosts) > 1 and random.random() < 0.7 else of_nodes)
    strikes = CATALOGUE[fault].strikes
    # A node that no host can reach for long is no host's fault: its deploy fails after all its attempts.
    longest_s, heals = (200.0, 1.0) if fault == "host.partition" else (400.0, 0.8)
    return Strike(
        fault=fault,
        node=node if strikes is Strikes.NODE else "",
        host=random.choice(hosts).name if strikes is Strikes.HOST else "",
        parameters=CATALOGUE[fault].completed({**parameters(random), **_of_one_feed(random, fault, struck)}),
        when=AtTime(0.0) if fault in AT_FIRST else _moment(random, struck),
        heal_after_s=round(random.uniform(1, longest_s), 3) if random.random() < heals else None,
        may_miss=True,  # its moment may never come
    )


def _of_one_feed(random: Random, fault: str, struck: StoryNode) -> Mapping[str, Any]:
    """Of a node with two, now and then."""
    if fault not in OF_ONE_FEED or len(struck.feeds) < 2 or random.random() < 0.5:
        return {}
    return {"feed": random.randint(1, 2)}


def _show_the_quirk(random: Random, node: str) -> Strike:
    """Nobody tells a BMC to do what is so already, but whom it has told that it isn't."""
    lies = CATALOGUE["bmc.lies_about_power"]
    return Strike(
        fault=lies.name,
        node=node,
        parameters=lies.completed({"for_s": round(random.uniform(1, 20), 1)}),
        when=OnEvent("bmc", random.choice(SWITCHES), node, nth=random.randint(1, 2)),
        heal_after_s=round(random.uniform(1, 400.0), 3),
        may_miss=True,
    )


def _image_strike(random: Random, images: Sequence[str]) -> Strike:
    """From the beginning: images are fetched then, and never again."""
    fault, parameters = random.choice(OF_IMAGES)
    completed = CATALOGUE[fault].completed(parameters(random))
    return Strike(fault=fault, image=random.choice(images), parameters=completed, may_miss=True)


def _fits(fault: str, struck: StoryNode, nodes: Sequence[StoryNode], before: Sequence[Strike]) -> bool:
    """Whether it can change anything there."""
    if fault == "pdu.wrong_wiring":
        return _has_neighbour(struck, nodes) and all(one.fault != fault for one in before)
    if fault == "nfs.server_gone":
        return any(one.deploy == "nfs" or one.is_tile for one in nodes)
    told = unfit(fault, struck.name, struck.power, struck.deploy, {})
    return not (told or unfit_for(fault, struck.name, struck.firmware))


def _has_neighbour(node: StoryNode, nodes: Sequence[StoryNode]) -> bool:
    """On a PDU of its own."""
    pdus = {feed.pdu for feed in node.feeds}
    return any(feed.pdu in pdus for one in nodes if one.name != node.name for feed in one.feeds)


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

"""Stories that Hypothesis makes up, rule by rule, and makes small when they fail."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from scenarios.runner.addresses import numbered_host
from scenarios.runner.play import play_story
from scenarios.runner.random_story import FAMILIES, Family, family_of, random_strike, used_images
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import (
    POWERS,
    AtTime,
    Delete,
    Deploy,
    Maintenance,
    OnTold,
    Power,
    Request,
    Story,
    StoryHost,
    StoryNode,
    Strike,
)
from scenarios.runner.verdict import Verdict

NODES = 6
MOST_HOSTS = 5
VERBS = ("on", "off", "cycle", "reset", "soft")
SOON_S = 300
"""Most of a deploy is over by then."""

times = st.builds(AtTime, st.integers(0, SOON_S))
places = st.integers(0, NODES - 1)
families = st.sampled_from(FAMILIES)
disks_mib = st.sampled_from((2048, 1024, 4096))
powers = st.sampled_from(POWERS)
choices = st.integers(0, 1)


class BrokenPromise(Exception):
    """A story and a seed with which it doesn't end as it should."""

    story: Story
    seed: int


@cache
def broken(promise: str) -> type[BrokenPromise]:
    """One for each promise, and one for the lab's own trouble, lest Hypothesis take one failure for another
    while it makes it small."""
    return type(f"Broken_{promise}", (BrokenPromise,), {})


def play(story: Story, seed: int) -> None:
    """Raises BrokenPromise."""
    result = play_story(story, Fidelity.MODEL, seed).result
    if result.verdict is Verdict.PASS:
        return
    told = [(breach.promise, breach.what) for breach in result.breaches]
    promise, what = next(iter(told), ("lab", result.trouble))
    failure = broken(promise)(what)
    failure.story, failure.seed = story, seed
    raise failure


class Storyteller(RuleBasedStateMachine):
    """Each rule adds something to a story; it is played when no more comes."""

    instances = Bundle("instances")

    def __init__(self) -> None:
        super().__init__()
        self.seed = 0
        self.hosts: tuple[StoryHost, ...] = ()
        self.nodes: tuple[StoryNode, ...] = ()
        self.requests: list[Request] = []
        self.strikes: list[Strike] = []

    @initialize(
        hosts=st.integers(1, MOST_HOSTS),
        kinds=st.lists(st.tuples(families, disks_mib, powers), min_size=1, max_size=NODES),
        seed=st.integers(0, 999),
    )
    def rack(self, hosts: int, kinds: list[tuple[Family, int, str]], seed: int) -> None:
        self.hosts = tuple(numbered_host(number) for number in range(1, hosts + 1))
        self.nodes = tuple(
            family.node(number, power, disk_mib=disk_mib)
            for number, (family, disk_mib, power) in enumerate(kinds, 1)
        )
        self.seed = seed

    @rule()
    def nothing(self) -> None:
        """What Hypothesis makes of a rule that doesn't matter: it has the fewest arguments."""

    @rule(
        target=instances,
        place=places,
        anywhere=st.booleans(),
        choice=choices,
        wipe=st.sampled_from(("quick", "full")),
        swap_mib=st.sampled_from((0, 64)),
        ephemeral_mib=st.sampled_from((0, 64)),
        when=times,
    )
    def deploy(self, place: int, anywhere: bool, choice: int, **how: Any) -> Deploy:
        """To a node, or to any that takes its image. What lies on disks isn't asked of nodes without one."""
        node = self.nodes[place % len(self.nodes)]
        if node.by_nfs:
            how |= {"swap_mib": 0, "ephemeral_mib": 0}
        name = "" if anywhere else node.name
        return self._deploy(node=name, image=self._image(node.name, choice), **how)

    def _deploy(self, **how: Any) -> Deploy:
        number = sum(isinstance(one, Deploy) for one in self.requests) + 1
        request = Deploy(instance=f"i{number}", **how)
        self.requests.append(request)
        return request

    @rule(of=consumes(instances), when=times | st.none())
    def delete(self, of: Deploy, when: AtTime | None) -> None:
        """On its way, or as soon as it is active."""
        self.requests.append(Delete(instance=of.instance, when=when or OnTold(of.instance, "active")))

    @rule(target=instances, of=consumes(instances), choice=choices)
    def rebuild(self, of: Deploy, choice: int) -> Deploy:
        """As `rebuild` of a scenario: the next one is asked for while the node is still cleaned."""
        self.delete(of, None)
        told = OnTold(of.instance, "deleted")
        image = self._image(of.node, choice) if of.node else of.image
        kept = {"wipe": of.wipe, "swap_mib": of.swap_mib, "ephemeral_mib": of.ephemeral_mib}
        return self._deploy(node=of.node, image=image, when=told, **kept)

    @rule(place=places, verb=st.sampled_from(VERBS), when=times)
    def power(self, place: int, verb: str, when: AtTime) -> None:
        self.requests.append(Power(node=self._node(place), verb=verb, when=when))

    @rule(of=instances, verb=st.sampled_from(VERBS))
    def power_when_active(self, of: Deploy, verb: str) -> None:
        if of.node:
            self.requests.append(Power(node=of.node, verb=verb, when=OnTold(of.instance, "active")))

    @rule(place=places, when=times, for_s=st.integers(1, SOON_S))
    def maintain(self, place: int, when: AtTime, for_s: int) -> None:
        for on, moment in ((True, when), (False, AtTime(when.at_s + for_s))):
            self.requests.append(Maintenance(node=self._node(place), on=on, when=moment))

    @rule(random=st.randoms(use_true_random=False))
    def strike(self, random: Random) -> None:
        images = used_images(self.requests)
        self.strikes.append(random_strike(random, self.hosts, self.nodes, images, self.strikes))

    def _node(self, place: int) -> str:
        return self.nodes[place % len(self.nodes)].name

    def _image(self, node: str, choice: int) -> str:
        images = next(family_of(one).images for one in self.nodes if one.name == node)
        return images[choice % len(images)]

    # --- the story -----------------------------------------------------------------------------

    def story(self) -> Story:
        requests = (*self.requests, *self._given_back())
        return Story(
            name="made-up",
            hosts=self.hosts,
            nodes=self.nodes,
            requests=requests,
            strikes=tuple(self.strikes),
            images=used_images(requests),
            safety_s=1800.0,
            struck_may_fail=True,
        )

    def _given_back(self) -> list[Delete]:
        """Whoever has a node that others may want gives it back, else they'd wait for ever."""
        deploys = [one for one in self.requests if isinstance(one, Deploy)]
        deleted = {one.instance for one in self.requests if isinstance(one, Delete)}
        wanted = [one.node for one in deploys if isinstance(one.when, AtTime)]
        return [
            Delete(instance=one.instance, when=OnTold(one.instance, "active"))
            for one in deploys
            if one.instance not in deleted and ("" in wanted or wanted.count(one.node) > 1)
        ]

    def teardown(self) -> None:
        if self.nodes and self.requests:
            play(self.story(), self.seed)

"""A story as the conductor plays it: a scenario file compiled, or made up by a search. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryPdu:
    name: str
    family: str
    address: str
    community: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoryFeed:
    """One of a node's power supplies."""

    pdu: StoryPdu
    outlet: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryNode:
    """disk_mib: of its first disk, the one that is deployed to. feeds: it has no BMC, and hangs on these."""

    name: str
    mac: str
    bmc_address: str
    bmc_user: str
    bmc_password: str = field(repr=False)
    arch: str = "x86_64"
    firmware: str = "bios"
    cpus: int = 1
    memory_mib: int = 1024
    disk_mib: int = 2048
    deploy: str = "iscsi"
    feeds: tuple[StoryFeed, ...] = ()

    @property
    def is_tile(self) -> bool:
        """Whether it is a board of tilepro64: without a disk, its root by NFS."""
        return self.firmware == "tilera"

    @property
    def by_nfs(self) -> bool:
        """Whether its instance's root is served to it."""
        return self.is_tile or self.deploy == "nfs"

    @property
    def power(self) -> str:
        return POWERS[len(self.feeds)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryHost:
    """A compute host. address: on the provisioning network."""

    name: str
    address: str


POWERS = ("ipmi", "pdu", "two-pdus")
"""How a node is switched, by how many feeds it has."""


# --- when something happens -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AtTime:
    """Seconds after the nodes are enrolled and the images are there."""

    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OnEvent:
    """The n-th event of the trace that has all of this, or so long after it. name: of the event; detail:
    what it must contain."""

    source: str
    name: str
    node: str = ""
    nth: int = 1
    detail: Mapping[str, Any] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OnTold:
    """The client was told this state of an instance or a node, or so long after that."""

    name: str
    state: str
    nth: int = 1
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ByChance:
    """At each event of this source and name, with this probability; once struck and healed, again."""

    probability: float
    source: str
    name: str = ""
    node: str = ""
    times: int = 1


Moment = AtTime | OnEvent | OnTold | ByChance


# --- what happens ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """node: by name; empty: the scheduler chooses."""

    instance: str
    image: str
    node: str = ""
    wipe: str = "quick"
    swap_mib: int = 0
    ephemeral_mib: int = 0
    proof_of_life: tuple[str, ...] = ()
    when: Moment = AtTime()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Of an instance. Ends when it is deleted and its node is available again."""

    instance: str
    when: Moment = AtTime()


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    node: str
    verb: str
    when: Moment = AtTime()


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    node: str
    on: bool
    when: Moment = AtTime()


Request = Deploy | Delete | Power | Maintenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A fault. host: name of a compute host, or "owner" of the node. image: whose bytes it strikes. Healed
    after `heal_after_s`, at `heal_when`, or when the whole story heals. may_miss: the story counts without
    it; what it changes is no proof that another one struck."""

    fault: str
    node: str = ""
    host: str = ""
    image: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    when: Moment = AtTime()
    heal_after_s: float | None = None
    heal_when: Moment | None = None
    may_miss: bool = False


class Outcome(StrEnum):
    """How a request may end."""

    ACTIVE = "active"
    ERROR = "error"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many events of the whole story fit; nth of the event says nothing here."""

    event: OnEvent
    at_least: int = 0
    at_most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is expected besides what holds in every story.

    instance + outcome: how its deploy ends (every other one ends ACTIVE); failure: code, cause and
                        last_proven: parts of what is told about it
    node + state:       where the node ends; within: the row of the deadlines that bounds it, from when
                        everything has healed, or from the last request if that comes later
    struck + times:     a fault that must have changed something, or the story said nothing, each time that it
                        was to; node: at which. Strikes that may miss aren't counted.
    counted:            how often something was seen
    """

    instance: str = ""
    outcome: str = ""
    failure: str = ""
    cause: str = ""
    last_proven: str = ""
    node: str = ""
    state: str = ""
    within: str = ""
    struck: str = ""
    times: int = 1
    counted: Counted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """safety_s:        how long faults may go on before everything heals; each request then has its deadline.
    struck_may_fail: a deploy to a node that a fault of its own struck may end with its failure told, as an
                     operator would expect of hardware that stays broken longer than anybody waits
    """

    name: str
    hosts: tuple[StoryHost, ...]
    nodes: tuple[StoryNode, ...]
    requests: tuple[Request, ...]
    strikes: tuple[Strike, ...] = ()
    expected: tuple[Expected, ...] = ()
    images: tuple[str, ...] = ()
    safety_s: float = 3600.0
    struck_may_fail: bool = False

    @property
    def pdus(self) -> tuple[StoryPdu, ...]:
        return tuple(dict.fromkeys(feed.pdu for node in self.nodes for feed in node.feeds))

    def node(self, name: str) -> StoryNode:
        return next(node for node in self.nodes if node.name == name)

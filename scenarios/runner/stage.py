"""A rack with a provisioner on it, at one depth of truth. The conductor (`play`) knows nothing below this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Protocol

from scenarios.runner.trace import Trace
from scenarios.runner.verdict import Breach

TRY_LATER = (503, 507)
"""What the API answers while its store is away, or has no room: a client asks again."""


class Fidelity(StrEnum):
    MODEL = "model"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Of the provisioner's REST API. body: parsed JSON. cause: the defect that it tells of, where the stage
    sees it."""

    status: int
    body: Any
    cause: str = ""

    @property
    def told(self) -> str:
        """For people: what it is in the place of what was asked for."""
        title = self.body.get("title", "") if isinstance(self.body, dict) else ""
        said = "; ".join(part for part in (title, self.cause) if part)
        return f"answered with {self.status}{f': {said}' if said else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A fault to bring about, or to end.

    fault:      its name in the catalogue
    node:       the node whose devices or wires it strikes; empty: it strikes none
    host:       the compute host that it strikes; empty: it strikes none
    image:      the image whose bytes it strikes; empty: it strikes none
    parameters: completed by the catalogue
    """

    fault: str
    node: str = ""
    host: str = ""
    image: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def chance(self, story_seed: int) -> Random:
        """What its probability is drawn from, at each fidelity: a stream for each fault and target. By a seed
        of its own it is the same in every playing."""
        own = self.parameters.get("seed")
        seed = story_seed if own is None else own
        return Random(f"{seed}:{self.fault} {self.node} {self.host}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What was made on a disk around an image.

    root_fills:              its root file system ends where its partition does
    ephemeral_mib, swap_mib: of the partition that such a file system, or area, lies on; 0: there is none
    hostname:                that the config drive tells; empty: there is none
    made:                    what of it was made, each called by another name whenever it is; empty where that
                             can't be told
    """

    root_fills: bool = False
    ephemeral_mib: int = 0
    swap_mib: int = 0
    hostname: str = ""
    made: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskTruth:
    """What lies on a node's first disk, read by the lab and not by the provisioner.

    image:   name of the image whose bytes lie whole at the place where images are written, or ""
    blank:   nothing of an earlier instance can be found (quick wipe: both ends; full: everywhere)
    unlike:  in words: what of which image isn't there, of those that it was compared with and isn't
    around:  of a disk; None: a root by NFS
    """

    image: str
    blank: bool
    unlike: str = ""
    around: Around | None = None


class LabTrouble(Exception):
    """The lab broke, or its story proves nothing: the verdict is INFRA, and nothing is said about the
    provisioner. Unless there are `breaches`: promises that were broken whatever befell the lab.

    at_s: when it broke, if that was before this is raised to whoever plays the story.
    """

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.at_s: float | None = None
        self.breaches: tuple[Breach, ...] = ()


class BadAnswer(LabTrouble):
    """The API has answered otherwise than it may. Whoever waits for a request says how that one ended."""

    def __init__(self, method: str, path: str, answer: Answer) -> None:
        super().__init__(f"{method} {path} was {answer.told}")
        self.answer = answer


class NoAnswer(LabTrouble):
    """No process of the provisioner answers. since_s: when it was asked first."""

    def __init__(self, told: str, since_s: float) -> None:
        super().__init__(told)
        self.since_s = since_s


class NotBegun(Exception):
    """The provisioner is why the story could not begin. promise: the one that it broke by that."""

    def __init__(self, promise: str, told: str) -> None:
        super().__init__(f"the story could not begin: {told}")
        self.promise = promise


class Stage(Protocol):
    """Entered by the runner, which also ends it. Everything here is called from one event loop.

    `trace` grows while the story runs, in the order in which things were seen.
    """

    fidelity: Fidelity
    trace: Trace
    public_key: str  # of the lab: instances are to let it in

    def image_orders(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Bodies of POST /v1/images that bring an image, and before it what boots it: by URL."""
        ...

    def now_s(self) -> float:
        """Seconds since the story began."""
        ...

    async def sleep(self, duration_s: float) -> None: ...

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        """One call of the REST API (`path` begins with /v1); `key`: its idempotency key. While no
        process answers, it is tried again until one does. Raises NoAnswer when that takes too long."""
        ...

    async def news(self, name: str) -> None:
        """Returns when what the API tells of this node or instance may have changed, or after a while."""
        ...

    async def inject(self, order: Order) -> None:
        """Returns when the fault is in force. Raises LabTrouble."""
        ...

    async def heal(self, order: Order) -> None:
        """Ends what `inject` of an equal order began. Idempotent."""
        ...

    def owner(self, node: str) -> str:
        """The compute host that owns the node now; empty when none does. For faults that strike the owner;
        invariants don't ask it."""
        ...

    async def settled(self) -> None:
        """The story has ended: nothing of it goes on, and what lies on the disks can be looked at."""
        ...

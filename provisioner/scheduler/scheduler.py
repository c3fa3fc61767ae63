"""The scheduler: each requested instance gets a node in one transaction, or is told why not."""

from __future__ import annotations

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.model import Image, ImageState, Instance, Node
from provisioner.core.placement.filters import refusal
from provisioner.core.reservation import is_kept_from
from provisioner.core.states import InstanceState
from provisioner.core.turns import Turn, Turns
from provisioner.protocols.clock import Clock
from provisioner.protocols.ids import Ids
from provisioner.protocols.store import Store, Tx, Watch
from provisioner.scheduler.claims import Claim, claim, write_rest
from provisioner.scheduler.giving_up import Doubts, give_up
from provisioner.scheduler.memory import FreeNodes, WaitingRequests
from provisioner.scheduler.reasons import Reasons
from provisioner.scheduler.rounds import Round

log = structlog.get_logger(__name__)

GATHER_S = 0.02
BATCH = 20
"""Requests placed in one transaction: bounds how long others wait for the store."""

LOOK_EVERY_S = 0.25
"""When nodes are said to have come free, it is looked which so often at most; and whenever a request finds
none among those that are known. In a crowd it is looked for more requests so often at least, whether any are
said to have come or not."""

ANEW_EVERY_S = 60.0
"""Nodes that stay free are read anew so often at most, when a request finds none among them: they may have
another owner since. Of what speaks against one that is chosen, the claim tells."""


class Scheduler:
    """Any number of them may run: claims are conditional updates."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, poll_s: float = 2.0) -> None:
        """poll_s: how often the store is looked at when no wake-up comes."""
        self._store = store
        self._clock = clock
        self._ids = ids
        self._poll_s = poll_s
        self._turns = Turns()
        self._waiting = WaitingRequests()
        self._free = FreeNodes()
        self._reasons = Reasons(self._free)
        self._round = Round()
        self._look_s = clock.monotonic_s()
        self._anew_s = self._look_s + ANEW_EVERY_S
        self._looked = False  # what is free was looked at in this transaction,
        self._seen_all = False  # all of it
        self._wanting = False  # a request has found nothing since what is known was read
        self._doubts = Doubts()
        self._offers: Watch | None = None
        self._offered = True
        self._asked: Watch | None = None
        self._ask = True  # which requests wait, in this transaction; needn't be within a crowd
        self._ask_s = self._look_s
        self._all_served = True  # of those that were tried
        # What a transaction has done, until it is sure.
        self._placed: list[Turn] = []
        self._claimed: list[Claim] = []
        self._told: dict[str, str] = {}
        # As they were read for requests that name them:
        self._images: dict[str, Image | None] = {}
        self._named: dict[str, Node | None] = {}

    async def run(self) -> None:
        """Places requests until cancelled."""
        watch = self._store.watch("instances", "offers")
        try:
            while True:
                try:
                    more = await self.place_some()
                except ProvisionerError as error:
                    log.warning("scheduler.interrupted", cause=error.message)
                    more = False
                if not more:
                    await watch.wait(self._poll_s)
                    # Requests come in crowds: one transaction for all that come close together.
                    await self._clock.sleep(GATHER_S)
        finally:
            watch.close()
            for own in (self._offers, self._asked):
                if own is not None:
                    own.close()

    async def place_some(self) -> bool:
        """Tries the requests that wait, in turn; True when some were placed and others may be waiting."""
        await self._learn()
        if self._ask:
            self._ask_s = self._clock.monotonic_s() + LOOK_EVERY_S
        more = await self._store.transact(self._place)
        self._ask = not (more and self._all_served)
        self._round.sure()
        self._free.sure()
        for turn in self._placed:
            self._turns.served(turn)
            self._waiting.done(turn.request.id)
            self._doubts.placed(turn.request.id)
        for id, why in self._told.items():
            self._waiting.told(id, why)
        doubted = await self._doubts.look(self._store)
        self._round.again(doubted)
        return bool(doubted) or more or self._is_anew_due()

    def _place(self, tx: Tx) -> bool:
        """May be run anew, before it is sure."""
        self._placed.clear()
        self._claimed.clear()
        self._told.clear()
        self._images.clear()
        self._named.clear()
        self._round.begin()
        self._doubts.begin()
        self._free.begin()
        if self._ask:
            self._waiting.look(tx)
        more = self._place_in_turn(tx)
        write_rest(tx, self._claimed)
        return more

    def _place_in_turn(self, tx: Tx) -> bool:
        self._looked = self._seen_all = self._all_served = False
        self._reasons.begin()
        turns = self._round.left(self._turns.order(self._waiting.queues))
        waiting = self._waiting.whole(tx, turns, BATCH, looked=self._ask)
        for tried, (turn, instance) in enumerate(waiting, start=1):
            if not self._round.goes_on(len(self._images) + len(self._named) + len(self._reasons)):
                return True
            self._round.tried(turn)
            if instance is not None and self._try(tx, instance, self._image(tx, instance.image_id)):
                self._placed.append(turn)
                if len(self._placed) == BATCH:
                    self._all_served = tried == BATCH
                    return tried < len(self._waiting)
        self._round.end()
        return False

    def _image(self, tx: Tx, id: str) -> Image | None:
        if id not in self._images:
            self._images[id] = tx.get(Image, id)
        return self._images[id]

    async def _learn(self) -> None:
        """What has come free since. In transactions of its own, each of them short: after a start it is
        all. And whether somebody may have asked for more."""
        if self._offers is None or self._asked is None:
            self._offers, self._asked = self._store.watch("offers"), self._store.watch("instances")
        if self._is_anew_due():
            self._anew_s = self._clock.monotonic_s() + ANEW_EVERY_S
            self._wanting = False
            self._free.doubt()
            self._doubts.begin_anew()
            self._offered, self._look_s = True, self._clock.monotonic_s()
        if not self._ask:
            self._ask = await self._asked.wait(0) or self._clock.monotonic_s() >= self._ask_s
        self._offered = await self._offers.wait(0) or self._offered
        while self._offered and self._clock.monotonic_s() >= self._look_s:
            await self._store.transact(self._look)

    def _look(self, tx: Tx) -> None:
        self._seen_all = not self._free.look(tx)
        if self._seen_all:
            self._look_s = self._clock.monotonic_s() + LOOK_EVERY_S
            self._offered = False

    def _is_anew_due(self) -> bool:
        return self._wanting and self._clock.monotonic_s() >= self._anew_s

    def _look_for_want(self, tx: Tx) -> None:
        """A request has found nothing. Once in a while that is a reason to read anew what was known, in the
        short transactions of the next pass."""
        self._wanting = True
        if not self._looked:
            # Which there are now: a round that was begun before may not have seen the last ones.
            self._looked = True
            self._free.begin_round()
        self._look(tx)

    def _try(self, tx: Tx, instance: Instance, image: Image | None) -> bool:
        """Whether it has a node now."""
        if image is None or image.state is not ImageState.ACTIVE:
            why: str | None = "its image is not ready"
        elif instance.node_name is not None:
            why = self._take_the_named(tx, instance, image, instance.node_name)
        else:
            why = self._take_the_best(tx, instance, image)
        if why is not None and instance.failed_on and self._is_hopeless(instance, image):
            give_up(tx, instance, why)
        elif why is not None and instance.waiting_for != why:
            self._told[instance.id] = why
            tx.update(Instance, instance.id, {"waiting_for": why}, expect={"state": InstanceState.REQUESTED})
            tx.notify(f"instance:{instance.id}")
        return why is None

    def _is_hopeless(self, instance: Instance, image: Image | None) -> bool:
        """Whether the nodes that failed the request were the only ones that could carry it."""
        if image is None or image.state is not ImageState.ACTIVE:
            return False
        return self._doubts.is_hopeless(instance, image)

    def _take_the_named(self, tx: Tx, instance: Instance, image: Image, name: str) -> str | None:
        """Why not; None: it was taken."""
        if name not in self._named:
            self._named[name] = next(iter(tx.find(Node, where={"name": name}, limit=1)), None)
        node = self._named[name]
        if node is None or is_kept_from(node, instance.tenant):
            return f"there is no node {name}"
        why = refusal(instance, image, node)
        if why is not None:
            return f"node {name}: {why}"
        if not self._claim(tx, instance, node):
            return f"node {name} was just taken"
        return None

    def _take_the_best(self, tx: Tx, instance: Instance, image: Image) -> str | None:
        """Why not; None: one was taken."""
        if (why := self._reasons.known(instance, image)) is not None:
            return why
        while True:
            node = self._free.pool.choose(instance, image)
            if node is not None:
                if self._claim(tx, instance, node):
                    return None
                self._free.look_at(tx, node)
            elif self._seen_all:
                return self._reasons.find(tx, instance, image)
            else:
                self._look_for_want(tx)

    def _claim(self, tx: Tx, instance: Instance, node: Node) -> bool:
        self._named.pop(node.name, None)
        address = self._free.address(tx, node)
        claimed = claim(tx, instance, node, address, self._ids.uuid())
        if claimed is None:
            return False
        self._claimed.append(claimed)
        self._free.took(node)
        self._reasons.forget_nodes()
        return True

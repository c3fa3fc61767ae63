"""The free nodes, arranged so that nobody has to look at each of them: a choice among ten thousand costs what
one among a hundred does.

Nodes of one kind lie on a shelf. A request is held against one node of each shelf, once for all requests that
ask for the same. The shelves that fit are kept in the order that the weighers of nodes give them. On a shelf
nodes are put together by their place (PDUs and rack), and the places are a heap by what the weighers of
places say.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from heapq import heappop, heappush, heapreplace
from typing import Any

from provisioner.core.feeds import pdus_of
from provisioner.core.model import Image, Instance, Node
from provisioner.core.placement.filters import refusal_of_its_kind
from provisioner.core.placement.kind import demand_of, kind_of
from provisioner.core.placement.weighers import OF_HOSTS, OF_NODES, OF_PLACES, Standing
from provisioner.core.reservation import is_kept_from
from provisioner.core.states import ProvisionState

MOST_SHORTLISTS = 256
"""Requests that ask for different things, and whose shelves are remembered."""

PRUNED_FROM = 64
"""Shelves of a shortlist, before it lets go of empty ones that it hasn't met."""


def is_offered(node: Node) -> bool:
    """Whether it belongs into the pool: it can be had by somebody, now."""
    free = node.state is ProvisionState.AVAILABLE and node.instance_id is None
    return free and not node.maintenance and node.owner is not None


def place_of(node: Node) -> tuple[tuple[str, ...], str]:
    """Its PDUs and its rack, by names that differ; an empty one: nobody said which rack it is."""
    pdus = sorted(pdus_of(node.power_driver, node.power_address))
    return tuple(f"PDU {pdu}" for pdu in pdus), f"rack {node.rack}" if node.rack else ""


class Pool:
    """deploys: how many each compute host has under way; it is asked when a choice is made."""

    def __init__(self, deploys: Mapping[str, int] | None = None) -> None:
        self.deploys = {} if deploys is None else deploys
        self.nodes: dict[str, Node] = {}
        self._counts = _Counts()
        self._shelves: dict[Hashable, _Shelf] = {}
        self._home: dict[str, _Spot] = {}
        self._shortlists: dict[Hashable, _Shortlist] = {}

    def put(self, node: Node) -> None:
        """One more is free; or it is, and is known better now."""
        self.take(node.id)
        kind = kind_of(node)
        shelf = self._shelves.get(kind)
        if shelf is None:
            shelf = self._shelves[kind] = _Shelf(kind, node, self._counts)
            for shortlist in self._shortlists.values():
                shortlist.consider(shelf)
        self.nodes[node.id] = node
        spot = self._home[node.id] = shelf.spot(node)
        spot.put(node)
        self._counts.add(spot)

    def take(self, node_id: str) -> Node | None:
        """It is free no more. What was known of it; None: nothing was."""
        spot = self._home.pop(node_id, None)
        if spot is None:
            return None
        node = self.nodes.pop(node_id)
        spot.nodes.discard(node_id)
        self._counts.remove(spot)
        shelf = spot.shelf
        shelf.count -= 1
        if not shelf.count:
            del self._shelves[shelf.kind]  # shortlists let go of it when they meet it
        return node

    def owners(self) -> set[str]:
        """Compute hosts that have a free node."""
        return {shelf.specimen.owner or "" for shelf in self._shelves.values()}

    def choose(self, instance: Instance, image: Image) -> Node | None:
        """The node that the weighers put first of those that fit. For requests that name a node, this is not
        the way."""
        failed = [node for id in instance.failed_on if (node := self.take(id)) is not None]
        try:
            return self._choose(instance, image)
        finally:
            for node in failed:
                self.put(node)

    def _choose(self, instance: Instance, image: Image) -> Node | None:
        heads = (shelf.head() for shelf in self._shortlist(instance, image).first())
        best = min(heads, key=self._rank, default=None)
        return None if best is None else self.nodes[best.first()[1]]

    def _rank(self, spot: _Spot) -> tuple[Any, ...]:
        *weights, name, _, _ = spot.entry
        standing = self._counts.standing(self.nodes[spot.first()[1]], spot, self.deploys)
        return (*weights, *[weigh(standing) for weigh in OF_HOSTS], name)

    def refusals(self, instance: Instance, image: Image) -> Counter[str]:
        """Why how many of them can't carry the instance, of those that aren't kept for another tenant."""
        counted: Counter[str] = Counter()
        for shelf in self._shelves.values():
            if is_kept_from(shelf.specimen, instance.tenant):
                continue
            why = refusal_of_its_kind(instance, image, shelf.specimen)
            if why is not None:
                counted[why] += shelf.count
        return counted

    def _shortlist(self, instance: Instance, image: Image) -> _Shortlist:
        demand = demand_of(instance, image)
        shortlist = self._shortlists.get(demand)
        if shortlist is None:
            if len(self._shortlists) >= MOST_SHORTLISTS:
                del self._shortlists[next(iter(self._shortlists))]
            shortlist = self._shortlists[demand] = _Shortlist(instance, image, self._shelves.values())
        return shortlist


class _Counts:
    """How many free nodes hang on each PDU and stand in each rack, and which spots that concerns."""

    def __init__(self) -> None:
        self._on: Counter[str] = Counter()
        self._spots: defaultdict[str, dict[_Spot, None]] = defaultdict(dict)

    def add(self, spot: _Spot) -> None:
        for where in spot.wheres:
            self._on[where] += 1
            self._spots[where].setdefault(spot)
        # They may go before where their heaps have them; of those that go after it these find out themselves.
        spot.shelf.better.setdefault(spot)
        for where in spot.wheres:
            for near in self._spots[where]:
                near.shelf.better.setdefault(near)

    def remove(self, spot: _Spot) -> None:
        for where in spot.wheres:
            self._on[where] -= 1
            if not spot.nodes:
                self._spots[where].pop(spot, None)
                if not self._spots[where]:
                    del self._spots[where], self._on[where]

    def standing(self, node: Node, spot: _Spot, deploys: Mapping[str, int]) -> Standing:
        on, pdus = self._on, spot.pdus
        fewest = on[pdus[0]] if len(pdus) == 1 else min((on[pdu] for pdu in pdus), default=0)
        return Standing(node, fewest, on[spot.rack] if spot.rack else 0, deploys.get(node.owner or "", 0))


class _Spot:
    """Nodes of one shelf that share their PDUs and their rack."""

    def __init__(self, shelf: _Shelf, number: int, pdus: tuple[str, ...], rack: str) -> None:
        self.shelf = shelf
        self.number = number
        self.pdus = pdus
        self.rack = rack
        self.wheres = (*pdus, rack) if rack else pdus
        self.nodes: set[str] = set()
        self.entry: Any = None  # of the shelf's heap: weights, first name, number, spot; None: it has none
        self._names: list[tuple[str, str]] = []

    def put(self, node: Node) -> None:
        self.shelf.count += 1
        self.nodes.add(node.id)
        heappush(self._names, (node.name, node.id))

    def first(self) -> tuple[str, str]:
        """Name and id of the node whose name comes first. There must be one."""
        while self._names[0][1] not in self.nodes:
            heappop(self._names)
        return self._names[0]


class _Shelf:
    """Nodes of one kind. specimen: one of them, or one that was."""

    def __init__(self, kind: Hashable, specimen: Node, counts: _Counts) -> None:
        self.kind = kind
        self.specimen = specimen
        self.count = 0
        standing = Standing(specimen, 0, 0, 0)
        self.weight = tuple(weigh(standing) for weigh in OF_NODES)
        self._counts = counts
        self._spots: dict[tuple[tuple[str, ...], str], _Spot] = {}
        self._heap: list[tuple[Any, ...]] = []
        self.better: dict[_Spot, None] = {}  # that may go before where the heap has them

    def spot(self, node: Node) -> _Spot:
        pdus, rack = place_of(node)
        spot = self._spots.get((pdus, rack))
        if spot is None:
            spot = self._spots[pdus, rack] = _Spot(self, len(self._spots), pdus, rack)
        return spot

    def head(self) -> _Spot:
        """What goes first. There must be something."""
        self._rank_the_better()
        heap = self._heap
        while True:
            entry = heap[0]
            spot: _Spot = entry[-1]
            if entry is not spot.entry:
                heappop(heap)  # a newer entry tells the truth
            elif not spot.nodes:
                heappop(heap)
                spot.entry = None
            else:
                now = self._entry(spot)
                if now == entry:
                    return spot
                spot.entry = now
                heapreplace(heap, now)

    def _rank_the_better(self) -> None:
        """Late, so that it is done once for all nodes that came free together."""
        for spot in self.better:
            if spot.nodes and (entry := self._entry(spot)) != spot.entry:
                spot.entry = entry
                heappush(self._heap, entry)
        self.better.clear()

    def _entry(self, spot: _Spot) -> tuple[Any, ...]:
        """Flat, since the heap compares it often. It ends where it is another one: with the number."""
        standing = self._counts.standing(self.specimen, spot, {})
        return (*[weigh(standing) for weigh in OF_PLACES], spot.first()[0], spot.number, spot)


class _Shortlist:
    """The shelves whose nodes fit, in order."""

    def __init__(self, instance: Instance, image: Image, shelves: Iterable[_Shelf]) -> None:
        self._instance = instance
        self._image = image
        self._shelves: list[_Shelf] = []
        self._prune_at = PRUNED_FROM
        for shelf in shelves:
            self.consider(shelf)

    def consider(self, shelf: _Shelf) -> None:
        if refusal_of_its_kind(self._instance, self._image, shelf.specimen) is not None:
            return
        if len(self._shelves) >= self._prune_at:
            self._shelves = [one for one in self._shelves if one.count]
            self._prune_at = 2 * len(self._shelves) + PRUNED_FROM
        insort(self._shelves, shelf, key=lambda one: one.weight)

    def first(self) -> Iterator[_Shelf]:
        """Those that nothing but places and hosts tell apart, and that no other is before."""
        shelves = self._shelves
        empty = 0
        while empty < len(shelves) and not shelves[empty].count:
            empty += 1
        del shelves[:empty]
        for shelf in shelves:
            if shelf.weight != shelves[0].weight:
                return
            if shelf.count:
                yield shelf

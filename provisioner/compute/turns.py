"""Whose services are being changed, or are to be: whoever else would change them waits until they aren't."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence, Set


class Turns:
    """settled(node_id): told of those that somebody has asked about."""

    def __init__(self, settled: Callable[[str], None]) -> None:
        self._settled = settled
        self._queued: dict[str, object] = {}
        """By whom; nothing has begun yet."""
        self.under_way: set[str] = set()
        self._awaited: set[str] = set()

    @property
    def queued(self) -> Set[str]:
        return self._queued.keys()

    @property
    def pending(self) -> Set[str]:
        return self.queued | self.under_way

    def settles_later(self, node_id: str) -> bool:
        """Whether it is pending. Then `settled` is told when it isn't any more."""
        if node_id not in self._queued and node_id not in self.under_way:
            return False
        self._awaited.add(node_id)
        return True

    def wait_for(self, node_ids: Collection[str]) -> None:
        """Has `settled` told of those of them whose services are being changed."""
        self._awaited |= self.under_way.intersection(node_ids)

    def queue(self, node_ids: Iterable[str], by: object) -> None:
        """Also those that another has queued, and has not begun with."""
        self._queued |= dict.fromkeys(node_ids, by)

    def begin(self, node_ids: Sequence[str], by: object) -> list[str]:
        """Of these, those that are queued by this one still. Each is to be settled."""
        begun = [node_id for node_id in node_ids if self._queued.get(node_id) is by]
        for node_id in begun:
            del self._queued[node_id]
        self.under_way.update(begun)
        return begun

    def seize(self, node_id: str) -> None:
        """Whoever has queued it doesn't begin with it any more. It is to be settled."""
        self._queued.pop(node_id, None)
        self.under_way.add(node_id)

    def drop(self, node_ids: Iterable[str], by: object) -> None:
        """What this one has queued, and has not begun with."""
        for node_id in node_ids:
            if self._queued.get(node_id) is by:
                del self._queued[node_id]
                self.settle(node_id)

    def settle(self, node_id: str) -> None:
        """Idempotent."""
        self.under_way.discard(node_id)
        if node_id in self._awaited:
            self._awaited.discard(node_id)
            self._settled(node_id)

    def clear(self) -> None:
        for known in (self._queued, self.under_way, self._awaited):
            known.clear()

"""Wake-ups inside one process: who waits for which topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Topics:
    """The watches of one store. Used from its event loop only."""

    def __init__(self) -> None:
        # Watches as the keys of a dict: woken in the order in which they came. A set's order would come
        # from their addresses, and differ from one process to the next.
        self._watches: dict[str, dict[TopicWatch, None]] = {}

    def watch(self, *topics: str) -> TopicWatch:
        watch = TopicWatch(self, topics)
        for topic in topics:
            self._watches.setdefault(topic, {})[watch] = None
        return watch

    def notify(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for watch in self._watches.get(topic, ()):
                watch.heard.set()

    def notify_all(self) -> None:
        """When something may have been missed, or it isn't known what."""
        self.notify(list(self._watches))

    def forget(self, watch: TopicWatch, topics: Iterable[str]) -> None:
        for topic in topics:
            watches = self._watches.get(topic, {})
            watches.pop(watch, None)
            if not watches:
                self._watches.pop(topic, None)


class TopicWatch:
    """Implements `provisioner.protocols.store.Watch`."""

    def __init__(self, topics: Topics, names: tuple[str, ...]) -> None:
        self.heard = asyncio.Event()
        self._topics = topics
        self._names = names
        self._closed = False

    async def wait(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self.heard.wait()
        except TimeoutError:
            return False
        if self._closed:
            return False  # and stay heard, so that waiting on a closed watch never lasts
        self.heard.clear()
        return True

    def close(self) -> None:
        self._closed = True
        self.heard.set()  # lets go of whoever waits
        self._topics.forget(self, self._names)

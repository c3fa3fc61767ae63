"""A node with several power supplies, on outlets of several devices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from provisioner.core.errors import ProvisionerError
from provisioner.core.outlets import OutletState
from provisioner.core.states import PowerState
from provisioner.protocols.power import DeviceFactory, PowerControl, PowerVerb, is_feeds

T = TypeVar("T")

LATELY_S = 30.0
"""Tries of one command follow each other faster."""


class SeveralFeeds:
    """`PowerControl` and `Feeds` of one node: all of them together.

    feeds: by a name for messages
    """

    def __init__(self, feeds: Mapping[str, PowerControl], discharge_s: float | None) -> None:
        """discharge_s: None: as long as that of them that takes longest."""
        longest_s = max(feed.discharge_s if is_feeds(feed) else 0.0 for feed in feeds.values())
        self.discharge_s = longest_s if discharge_s is None else discharge_s
        self.longest_command_s = max(feed.longest_command_s for feed in feeds.values())
        self._feeds = feeds
        self._last: dict[str, OutletState] = {}
        self._verb: PowerVerb | None = None
        self._left: set[str] = set()  # feeds that haven't acknowledged `_verb`
        self._tried_s = float("-inf")  # when the last try of that ended

    def last_seen(self) -> Mapping[str, OutletState]:
        return self._last

    async def power_state(self) -> PowerState:
        """Off is all off. One that can't be asked makes the whole unknown, so its error is the answer."""
        states = await _all(feed.power_state for feed in self._feeds.values())
        self._last = {
            f"{name} {outlet}": state
            for name, feed in self._feeds.items()
            if is_feeds(feed)
            for outlet, state in feed.last_seen().items()
        }
        found = set(states)
        return found.pop() if len(found) == 1 else PowerState.UNKNOWN

    async def set_power(self, verb: PowerVerb) -> None:
        """All are told, though one fails; by the next try, those alone that failed: the others may be on
        their way, which would begin anew."""
        time_s = asyncio.get_running_loop().time
        if verb is not self._verb or not self._left or time_s() >= self._tried_s + LATELY_S:
            self._verb, self._left = verb, set(self._feeds)
        try:
            await _all(partial(self._tell, name, verb) for name in self._feeds if name in self._left)
        finally:
            self._tried_s = time_s()

    async def _tell(self, name: str, verb: PowerVerb) -> None:
        await self._feeds[name].set_power(verb)
        self._left.discard(name)


class FeedDevices:
    """`protocols.power.DeviceFactory` of the driver `feeds`.

    address: feeds, each the address of another driver with its `driver`; discharge_s (the longest of theirs).
    secret: of each feed, its number before the name.
    """

    def __init__(self, drivers: Mapping[str, DeviceFactory]) -> None:
        self._drivers = drivers

    def __call__(
        self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]
    ) -> PowerControl:
        feeds = address["feeds"]
        assert isinstance(feeds, list | tuple)
        made = {}
        for number, feed in enumerate(feeds):
            start = f"{number}."
            own = {
                name.removeprefix(start): value for name, value in secret.items() if name.startswith(start)
            }
            factory = self._drivers[feed["driver"]]
            made[f"feed {chr(ord('A') + number)}"] = factory(node_name, feed, own)
        discharge_s = address.get("discharge_s")
        return SeveralFeeds(made, None if discharge_s is None else float(str(discharge_s)))


async def _all(calls: Iterable[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
    """Each to its end; then the first error is raised, if there was one."""

    async def outcome(call: Callable[[], Coroutine[Any, Any, T]]) -> T | ProvisionerError:
        try:
            return await call()  # called here: a task that ends before it begins leaves nothing behind
        except ProvisionerError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(call)) for call in calls]
    done: list[T] = []
    for result in [task.result() for task in tasks]:
        if isinstance(result, ProvisionerError):
            raise result
        done.append(result)
    return done

"""A node with several power supplies, on outlets of several devices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from provisioner.core.errors import ProvisionerError
from provisioner.core.outlets import Seen
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_tries import Tries
from provisioner.protocols.power import DeviceFactory, PowerControl, PowerVerb, is_feeds

T = TypeVar("T")


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
        self._last: dict[str, Seen] = {}
        self._tries = Tries(tuple(feeds))

    def last_seen(self) -> Mapping[str, Seen]:
        return self._last

    async def power_state(self) -> PowerState:
        """Off is all off. One that can't be asked makes the whole unknown, so its error is the answer."""
        states = await _all(feed.power_state for feed in self._feeds.values())
        self._last = {
            f"{name} {outlet}": seen
            for name, feed in self._feeds.items()
            if is_feeds(feed)
            for outlet, seen in feed.last_seen().items()
        }
        found = set(states)
        return found.pop() if len(found) == 1 else PowerState.UNKNOWN

    async def set_power(self, verb: PowerVerb) -> None:
        """All are told, though one fails; by the next try, those alone that failed."""
        with self._tries.one(verb) as feeds:
            await _all(partial(self._tell, name, verb) for name in feeds)

    async def _tell(self, name: str, verb: PowerVerb) -> None:
        await self._feeds[name].set_power(verb)
        self._tries.acknowledged(name)


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

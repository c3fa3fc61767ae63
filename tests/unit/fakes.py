"""Small stand-ins for what the layers under test are given: they behave, they don't record calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

from provisioner.core.states import PowerState
from provisioner.protocols.clock import Clock
from provisioner.protocols.power import BootDevice, PowerVerb
from provisioner.store.memory import MemoryStore
from provisioner.store.topics import Topics, TopicWatch
from tests.unit.records import NOW


class JumpingClock:
    """`protocols.clock.Clock` whose sleepers are woken at once, with the time they asked for gone by.
    `wall` is the store's clock of the same world."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s
        await asyncio.sleep(0)

    def wall(self) -> datetime:
        return NOW + timedelta(seconds=self.now_s)


class CountingIds:
    """`protocols.ids.Ids` that can be foretold."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = iter(range(1, 10_000))

    def uuid(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._numbers):012d}"

    def secret(self) -> str:
        return f"{next(self._numbers):032x}"


class DeafStore(MemoryStore):
    """A store whose wake-ups are all lost on their way. `waits_s`: how long they were waited for."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(lambda: NOW)
        self.waits_s: list[float] = []
        self._clock = clock

    def watch(self, *topics: str) -> TopicWatch:
        return _DeafWatch(self._clock, self.waits_s)


class _DeafWatch(TopicWatch):
    def __init__(self, clock: Clock, waits_s: list[float]) -> None:
        super().__init__(Topics(), ())
        self._clock = clock
        self._waits_s = waits_s

    async def wait(self, timeout_s: float) -> bool:
        if timeout_s > 0:
            self._waits_s.append(timeout_s)
            await self._clock.sleep(timeout_s)
        return False


class PowerDevice:
    """A power device with moods: exceptions in `errors` are raised by the next calls, one each;
    `swallow` commands are acknowledged and not done; `forgets` boot devices are not kept."""

    longest_command_s = 1.0

    def __init__(self, state: PowerState = PowerState.OFF) -> None:
        self.state = state
        self.errors: list[Exception] = []
        self.swallow = 0
        self.device: BootDevice | None = None
        self.forgets = 0
        self.commands: list[str] = []

    def _mood(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    async def power_state(self) -> PowerState:
        self._mood()
        return self.state

    async def set_power(self, verb: PowerVerb) -> None:
        self._mood()
        self.commands.append(verb)
        if self.swallow:
            self.swallow -= 1
            return
        self.state = PowerState.OFF if verb is PowerVerb.OFF else PowerState.ON

    async def set_boot_device(self, device: BootDevice, *, persistent: bool, uefi: bool) -> None:
        self._mood()
        self.commands.append(f"boot {device}{' persistent' if persistent else ''}{' uefi' if uefi else ''}")
        if self.forgets:
            self.forgets -= 1
            return
        self.device = device

    async def boot_device(self) -> BootDevice | None:
        self._mood()
        return self.device

"""What an operator switches off by outlets has discharged before it is on, whatever cuts that short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from provisioner.core.model import NodeRequest, RequestState
from provisioner.core.outlets import OutletState, Seen
from provisioner.core.states import PowerState
from provisioner.drivers.fake import FakePower
from provisioner.protocols.power import PowerControl, PowerVerb
from provisioner.protocols.store import Tx
from tests.unit.compute.fake_world import FakeWorld

DISCHARGE_S = 60.0


LOOKS = 4
"""One may be of what switched it, and of the last nothing may be written down yet."""


class Outlet(FakePower):
    """switched: notes each verb, and when. seen_off: how often that was told."""

    discharge_s = DISCHARGE_S
    seen_off = 0

    def __init__(self, world: FakeWorld, name: str, switched: list[tuple[PowerVerb, float]]) -> None:
        super().__init__(world.rack, name)
        self._clock = world.clock
        self._switched = switched

    def last_seen(self) -> Mapping[str, Seen]:
        return {"outlet 1": Seen(OutletState(str(self._machine.power)))}

    async def power_state(self) -> PowerState:
        Outlet.seen_off += self._machine.power is PowerState.OFF
        return await super().power_state()

    async def set_power(self, verb: PowerVerb) -> None:
        self._switched.append((verb, self._clock.monotonic_s()))
        await super().set_power(verb)


Story = Callable[[FakeWorld], Awaitable[None]]


def outage_s(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    story: Story,
    *,
    known: PowerState = PowerState.ON,
    refresh_s: float = 0.0,
) -> float:
    """Of a node that is on, switched off by an operator, and on again in `story`. known: what is written down
    of its power at first."""
    switched: list[tuple[PowerVerb, float]] = []

    def outlet(name: str, *_: object) -> PowerControl:
        return Outlet(world, name, switched)

    async def run() -> None:
        await world.rack.power("n1", {}, {}).set_power(PowerVerb.ON)
        monkeypatch.setattr(world.rack, "power", outlet)
        await world.fill(power_state=known)
        world.start()
        try:
            await order(world, "power:off")
            await world.until("it is off", verb_is_given(PowerVerb.OFF))
            await story(world)
            await world.until("it is on", verb_is_given(PowerVerb.ON))
        finally:
            await world.end()

    def verb_is_given(verb: PowerVerb) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return verb in [given for given, _ in switched]

        return look

    world = FakeWorld(folder, refresh_s=refresh_s)
    asyncio.run(run())
    off_s = next(at_s for verb, at_s in switched if verb is PowerVerb.OFF)
    return next(at_s for verb, at_s in switched if verb is PowerVerb.ON) - off_s


async def order(world: FakeWorld, verb: str) -> None:
    """After those that were given before."""

    def ask(tx: Tx) -> None:
        at = tx.now() + timedelta(seconds=tx.count(NodeRequest))
        asked = NodeRequest(id=world.ids.uuid(), node_id="node-1", verb=verb, created_at=at, updated_at=at)
        tx.insert(asked)
        tx.notify("requests")

    await world.store.transact(ask)


async def restart(world: FakeWorld) -> None:
    await world.die()
    world.start()


@pytest.mark.parametrize("known", PowerState)
def test_a_host_that_starts_anew_gives_it_the_time_though_it_was_thought_to_be_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: PowerState
) -> None:
    """A button may have been pressed since its power was last asked for."""

    async def story(world: FakeWorld) -> None:
        await restart(world)
        await order(world, "power:on")

    assert outage_s(tmp_path, monkeypatch, story, known=known) >= DISCHARGE_S


@pytest.mark.parametrize("known", PowerState)
def test_a_deploy_that_takes_its_node_gives_it_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: PowerState
) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()

    assert outage_s(tmp_path, monkeypatch, story, known=known) >= DISCHARGE_S


@pytest.mark.parametrize("asked", ["by itself", "by an operator"])
@pytest.mark.parametrize("cut_short", ["by a deploy", "by a restart"])
def test_to_look_at_its_power_meanwhile_takes_none_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, cut_short: str
) -> None:
    """Seen off is not discharged."""

    async def story(world: FakeWorld) -> None:
        seen_off = Outlet.seen_off
        if asked == "by an operator":
            await order(world, "power:refresh")

        async def looked() -> bool:
            return Outlet.seen_off >= seen_off + LOOKS

        async def answered() -> bool:
            return "operator.power:refresh" in [event.name for event in await world.events()]

        await world.until("it was looked at", looked if asked == "by itself" else answered)
        await (world.ask() if cut_short == "by a deploy" else restart(world))
        await order(world, "power:on")

    refresh_s = 1.0 if asked == "by itself" else 0.0
    assert outage_s(tmp_path, monkeypatch, story, refresh_s=refresh_s) >= DISCHARGE_S


def test_what_was_off_is_off_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        switched: list[tuple[PowerVerb, float]] = []
        outlet = Outlet(world, "n1", switched)
        outlet.discharge_s = 1e6  # whoever waits for that isn't answered in time
        world.rack.power = lambda *_: outlet  # type: ignore[method-assign]
        await world.fill(power_state=PowerState.OFF)
        world.start()
        await order(world, "power:off")

        async def answered() -> bool:
            return not await world.store.transact(
                lambda tx: tx.count(NodeRequest, where={"state": RequestState.PENDING})
            )

        try:
            await world.until("it is answered", answered)
        finally:
            await world.end()
        assert not switched

    asyncio.run(story())

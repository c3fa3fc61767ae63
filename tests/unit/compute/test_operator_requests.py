from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from provisioner.compute import operator_requests
from provisioner.compute.operator_requests import SHUTDOWN_S
from provisioner.core.errors import DeviceRefused
from provisioner.core.model import Instance, Node, NodeRequest, RequestState
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from provisioner.drivers.fake import FakePower, FakeRack
from provisioner.protocols.power import PowerControl, PowerVerb
from provisioner.protocols.store import Tx
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld
from tests.unit.compute.fake_world import play as in_world


class MoodyRack(FakeRack):
    """Its machines shut down when asked to (`heeds`), don't, or can't be asked (`refuses`)."""

    def __init__(self, world: FakeWorld, soft: str) -> None:
        super().__init__(lambda event: None, world.ids)
        self.soft = soft
        self.told: list[str] = []

    def power(self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
        return MoodyPower(self, node_name)


class MoodyPower(FakePower):
    def __init__(self, rack: MoodyRack, name: str) -> None:
        super().__init__(rack, name)
        self._noted = rack

    async def set_power(self, verb: PowerVerb) -> None:
        self._noted.told.append(str(verb))
        if verb is PowerVerb.SOFT and self._noted.soft != "heeds":
            if self._noted.soft == "refuses":
                raise DeviceRefused("shut down", device="an outlet", answer="nobody hears it")
            return
        await super().set_power(verb)


def play(folder: Path, soft: str, *verbs: str) -> tuple[list[str], list[NodeRequest], float]:
    """What the device was told, the requests, and how long it took by the world's clock."""

    async def story() -> tuple[list[str], list[NodeRequest], float]:
        world = FakeWorld(folder)
        rack = world.rack = MoodyRack(world, soft)
        await rack.power("n1", {}, {}).set_power(PowerVerb.ON)
        rack.told.clear()

        def ask(tx: Tx) -> None:
            tx.insert(records.node(owner=None, power_state=PowerState.ON))
            for number, verb in enumerate(verbs):
                at = tx.now() + timedelta(seconds=number)
                # Ids in another order than the times.
                id = f"request-{9 - number}"
                tx.insert(NodeRequest(id=id, node_id="node-1", verb=verb, created_at=at, updated_at=at))

        await world.store.transact(ask)
        begun_s = world.clock.monotonic_s()
        world.start()

        async def answered() -> bool:
            return not await world.store.transact(
                lambda tx: tx.count(NodeRequest, where={"state": RequestState.PENDING})
            )

        try:
            await world.until("all requests are answered", answered)
        finally:
            await world.die()
        found = await world.store.transact(lambda tx: tx.find(NodeRequest))
        node = await world.store.transact(lambda tx: tx.get(Node, "node-1"))
        assert node is not None
        assert next(one.answer for one in found) == f"power is {node.power_state}"
        return rack.told, found, world.clock.monotonic_s() - begun_s

    return asyncio.run(story())


def nobody_may_wait_for_a_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does isn't answered in time."""
    monkeypatch.setattr(operator_requests, "SHUTDOWN_S", 1e6)


@pytest.mark.parametrize(
    ("soft", "told"), [("heeds", ["soft"]), ("ignores", ["soft", "off"]), ("refuses", ["soft", "off"])]
)
def test_a_machine_that_does_not_shut_down_by_itself_is_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soft: str, told: list[str]
) -> None:
    if soft != "ignores":
        nobody_may_wait_for_a_shutdown(monkeypatch)
    commands, (request,), took_s = play(tmp_path, soft, "power:shutdown")
    assert commands == told
    assert (request.state, request.answer) == (RequestState.DONE, "power is off")
    assert soft != "ignores" or took_s >= SHUTDOWN_S


def test_requests_of_one_node_are_done_one_after_the_other_in_their_order(tmp_path: Path) -> None:
    commands, _, _ = play(tmp_path, "ignores", "power:shutdown", "power:on", "power:reset")
    assert commands == ["soft", "off", "on", "reset"]


def test_to_switch_it_off_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_may_wait_for_a_shutdown(monkeypatch)
    commands, _, _ = play(tmp_path, "ignores", "power:shutdown", "power:off")
    assert commands == ["soft", "off"]


@pytest.mark.parametrize("verb", ["on", "cycle", "reset"])
def test_to_switch_it_off_waits_for_what_switches_it_on(tmp_path: Path, verb: str) -> None:
    """Else it would be on in the end, and was to be off."""
    commands, requests, _ = play(tmp_path, "heeds", "power:off", f"power:{verb}", "power:off")
    assert commands[0] == commands[-1] == "off"
    assert [one.answer for one in requests].count("power is off") == 2


async def switched_on(world: FakeWorld) -> None:
    """An operator's command is asked for, and answered by a host that begins then and ends."""
    await world.store.transact(
        lambda tx: tx.insert(
            records.node(owner=None),
            NodeRequest(
                id="request-1",
                node_id="node-1",
                verb="power:on",
                created_at=records.NOW,
                updated_at=records.NOW,
            ),
        )
    )
    world.start()

    async def answered() -> bool:
        return (await request(world)).state is not RequestState.PENDING

    try:
        await world.until("the request is answered", answered)
    finally:
        await world.die()


def test_whoever_has_lost_the_node_meanwhile_answers_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        world = FakeWorld(tmp_path)
        rack = world.rack = TakenOver(world)
        await switched_on(world)
        (told,) = [event for event in await world.events() if event.name == "operator.power:on"]
        assert told.fence == rack.taken_under
        assert rack.seen_on == 2, "its next owner, which can't know of it, has looked again"

    asyncio.run(story())


class SlowAtFirst(FakeRack):
    """A command to its device may take longer than a lease, the first time that it is asked for."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(lambda event: None, world.ids)
        self.asked_for = 0

    def power(self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
        control = FakePower(self, node_name)
        self.asked_for += 1
        control.longest_command_s = 1.0 if self.asked_for > 1 else 4000.0
        return control


def test_a_command_that_finds_no_time_left_in_the_lease_is_done_later_and_not_answered_before(
    tmp_path: Path,
) -> None:
    """The store was slow when the lease was to be renewed for it."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        rack = world.rack = SlowAtFirst(world)
        await switched_on(world)
        found = await request(world)
        assert (found.state, found.answer) == (RequestState.DONE, "power is on")
        assert rack.asked_for == 2

    asyncio.run(story())


async def request(world: FakeWorld, id: str = "request-1") -> NodeRequest:
    found = await world.store.transact(lambda tx: tx.get(NodeRequest, id))
    assert found is not None
    return found


class TakenOver(FakeRack):
    """Its machine gets another fence while it is switched on."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(lambda event: None, world.ids)
        self.world = world
        self.seen_on = 0
        self.taken_under = 0

    def power(self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
        return TakenOverPower(self, node_name)


class TakenOverPower(FakePower):
    def __init__(self, rack: TakenOver, name: str) -> None:
        super().__init__(rack, name)
        self._of = rack

    async def power_state(self) -> PowerState:
        state = await super().power_state()
        if state is PowerState.ON:
            self._of.seen_on += 1
        if state is PowerState.ON and not self._of.taken_under:
            self._of.taken_under = (await self._of.world.node()).fence + 1
            taken = {"fence": self._of.taken_under}
            await self._of.world.store.transact(lambda tx: tx.update(Node, "node-1", taken))
        return state


class DeafPower(FakePower):
    """Its machine's system shuts nothing down."""

    def __init__(self, rack: FakeRack, name: str, told: list[str]) -> None:
        super().__init__(rack, name)
        self._told = told

    async def set_power(self, verb: PowerVerb) -> None:
        self._told.append(str(verb))
        if verb is not PowerVerb.SOFT:
            await super().set_power(verb)


def order(tx: Tx, node: Node, *verbs: str) -> None:
    """Of the instance that has the node now."""
    for number, verb in enumerate(verbs):
        at = tx.now() + timedelta(milliseconds=number)
        asked = NodeRequest(
            id=f"request-{number}",
            node_id=node.id,
            instance_id=node.instance_id,
            verb=verb,
            created_at=at,
            updated_at=at,
        )
        tx.insert(asked)
    tx.notify("requests")


def test_an_order_ends_with_its_instance_and_switches_nobody_elses_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine is being shut down, and won't, when it is deleted; its next tenant has it at once."""
    told: list[str] = []

    async def story(world: FakeWorld) -> None:
        monkeypatch.setattr(world.rack, "power", lambda name, *_: DeafPower(world.rack, name, told))
        await world.ask(tenant="red")
        await world.becomes(ProvisionState.ACTIVE)
        told.clear()
        node = await world.node()
        await world.store.transact(lambda tx: order(tx, node, "power:shutdown", "power:reset"))

        async def asked() -> bool:
            return "soft" in told

        async def answered() -> bool:
            found = await world.store.transact(lambda tx: tx.find(NodeRequest))
            return all(one.state is RequestState.FAILED for one in found)

        async def active() -> bool:
            found = await world.store.transact(lambda tx: tx.get(Instance, "instance-2"))
            return found is not None and found.state is InstanceState.ACTIVE

        await world.until("it is asked to shut down", asked)
        await world.delete()
        blue = records.instance(id="instance-2", name="blue", tenant="blue")
        await world.store.transact(lambda tx: (tx.insert(blue), tx.notify("instances")))
        await world.until("the other one runs", active)
        await world.until("both are answered", answered)
        before = list(told)
        await world.clock.sleep(2 * SHUTDOWN_S)
        assert told == before and "reset" not in told
        assert (await world.node()).power_state is PowerState.ON
        answered_of = {one.instance_id for one in await world.events() if one.name.startswith("operator.")}
        assert answered_of == {"instance-1"}

    in_world(tmp_path, story)


def test_an_order_of_the_version_before_which_named_no_instance_is_carried_out(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        await world.store.transact(lambda tx: order(tx, replace(node, instance_id=None), "power:off"))

        async def done() -> bool:
            return (await request(world, "request-0")).state is not RequestState.PENDING

        await world.until("it is answered", done)
        assert (await request(world, "request-0")).answer == "power is off"

    in_world(tmp_path, story)

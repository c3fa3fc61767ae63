"""Hosts that are all well hand nodes to each other: whoever ends, is drained, or has more than its share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceRefused, PermanentError
from provisioner.core.model import Host, NodeRequest, RequestState
from provisioner.core.states import InstanceState, PowerState, ProvisionState
from provisioner.drivers.fake import FakePower
from provisioner.protocols.power import PowerVerb
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld, NeverAnswers, play
from tests.unit.compute.one_server import OneServer

LONG_S = 3000.0
"""Three times as long as a test waits for anything."""

NODES = 6


def played(folder: Path, story: Callable[[FakeWorld], Awaitable[None]]) -> None:
    """With n1 to n6, idle, all of them of `host`; nothing is ever served by two."""

    async def with_nodes(world: FakeWorld) -> None:
        for number in range(2, NODES + 1):
            await world.enrol(number, state=ProvisionState.AVAILABLE)
        await serves(world, {"host": NODES})
        await story(world)
        assert world.overlaps == []

    play(folder, with_nodes, boot_deadline_s=LONG_S)


async def serves(world: FakeWorld, shares: dict[str, int]) -> None:
    """Until each owns so many nodes, and serves these."""

    async def so() -> bool:
        owned = await world.shares()
        served = {host: list(world.servers.values()).count(host) for host in shares}
        return served == shares and shares == {host: len(owned.get(host, ())) for host in shares}

    await world.until(f"they are shared as {shares}", so)


async def deploys_for_long(world: FakeWorld) -> None:
    """To n1, which says nothing until `goes_on`."""
    world.rack.hangs = True
    await world.ask(node_name="n1")
    await world.comes_to("agent_ready")


def goes_on(world: FakeWorld) -> None:
    world.rack.hangs = False


async def what_was_told(world: FakeWorld, name: str) -> list[str]:
    return [event.step for event in await world.events() if event.name == name]


async def row(world: FakeWorld, host: str) -> Host:
    found = await world.store.transact(lambda tx: tx.get(Host, host))
    assert found is not None
    return found


def test_idle_nodes_go_to_a_host_that_joins_until_shares_are_even(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.start("other")
        await serves(world, {"host": NODES // 2, "other": NODES // 2})

    played(tmp_path, story)


def test_a_host_that_leaves_waits_for_its_deploy_and_has_nothing_left(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await deploys_for_long(world)
        world.start("other")
        await serves(world, {"host": 3, "other": 3})
        world.hosts["host"].leave()
        await serves(world, {"host": 1, "other": NODES - 1})
        assert (await row(world, "host")).leaving
        assert (await world.shares())["host"] == ["n1"]
        goes_on(world)
        world.rack.switch(world.rack.machine("n1"), True)
        await world.ends("host")
        assert (await world.instance()).state is InstanceState.ACTIVE
        assert not await what_was_told(world, "step.resumed"), "it was done by who had begun it"
        await serves(world, {"other": NODES})
        assert (await row(world, "host")).released

    async def patient(world: FakeWorld) -> None:
        await world.die()
        world.start("host", drain_s=LONG_S)
        await serves(world, {"host": NODES})
        await story(world)

    played(tmp_path, patient)


def test_a_deploy_that_outlasts_its_leaving_owner_is_finished_by_another(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await deploys_for_long(world)
        world.start("other")
        await serves(world, {"host": 3, "other": 3})
        fence = (await world.node()).fence
        world.hosts["host"].leave()
        await world.ends("host")
        goes_on(world)
        await world.becomes(ProvisionState.ACTIVE)
        assert (await world.instance()).state is InstanceState.ACTIVE
        assert (await world.node()).fence > fence
        assert await what_was_told(world, "step.resumed") == ["agent_ready"]
        await serves(world, {"other": NODES})

    played(tmp_path, story)


def test_a_host_that_is_alone_leaves_at_once(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.hosts["host"].leave()
        await world.ends("host")
        assert (await row(world, "host")).released
        assert list(await world.shares()) == ["host"], "what nobody could take is its own"

    played(tmp_path, story)


def test_a_drained_host_gives_idle_nodes_at_once_and_the_others_when_their_work_has_ended(
    tmp_path: Path,
) -> None:
    async def story(world: FakeWorld) -> None:
        await deploys_for_long(world)
        world.start("other")
        await serves(world, {"host": 3, "other": 3})
        await world.change_host("host", draining=True)
        await serves(world, {"host": 1, "other": NODES - 1})
        assert (await world.shares())["host"] == ["n1"]
        goes_on(world)
        world.rack.switch(world.rack.machine("n1"), True)
        await world.becomes(ProvisionState.ACTIVE)
        await serves(world, {"host": 0, "other": NODES})
        assert not await what_was_told(world, "step.resumed")
        await world.change_host("host", draining=False)
        await serves(world, {"host": NODES // 2, "other": NODES // 2})
        assert "n1" in (await world.shares())["other"], "an instance doesn't move for evenness alone"

    played(tmp_path, story)


def test_what_cannot_be_withdrawn_is_not_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    withdraw, stuck = OneServer.withdraw, {"node-2"}

    async def withdraw_others(server: OneServer, node_id: str, *, root: bool = True) -> None:
        if node_id in stuck:
            raise PermanentError("exportfs -u", answer="exit code 1")
        await withdraw(server, node_id, root=root)

    async def story(world: FakeWorld) -> None:
        monkeypatch.setattr(OneServer, "withdraw", withdraw_others)
        world.start("other")
        await world.change_host("host", draining=True)
        await serves(world, {"host": 1, "other": NODES - 1})
        assert (await world.shares())["host"] == ["n2"]
        stuck.clear()
        await serves(world, {"other": NODES})

    played(tmp_path, story)


class Noting(FakePower):
    """Does what it is told. told_s: when."""

    def __init__(self, world: FakeWorld, told_s: list[float]) -> None:
        super().__init__(world.rack, "n1")
        self._world = world
        self._told_s = told_s

    async def set_power(self, verb: PowerVerb) -> None:
        self._told_s.append(self._world.clock.monotonic_s())
        await super().set_power(verb)


class RefusesThen(Noting):
    """Acknowledges a command, and refuses all that comes after it."""

    async def power_state(self) -> PowerState:
        if self._told_s:
            raise DeviceRefused("ask for the power", device="BMC", answer="0xd4")
        return await super().power_state()


def told_to(world: FakeWorld, monkeypatch: pytest.MonkeyPatch, device: type[Noting]) -> list[float]:
    """When n1 is told anything by such a device from now on."""
    told_s, power = list[float](), world.rack.power
    monkeypatch.setattr(
        world.rack, "power", lambda name, *of: device(world, told_s) if name == "n1" else power(name, *of)
    )
    return told_s


def test_a_node_stays_while_its_device_may_do_what_its_last_work_had_it_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        await world.die()
        world.longest_command_s = 100.0
        world.start("host")
        await serves(world, {"host": NODES})
        told_s = told_to(world, monkeypatch, RefusesThen)
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        world.start("other")
        await world.change_host("host", draining=True)
        await serves(world, {"host": 1, "other": NODES - 1})
        assert (await world.shares())["host"] == ["n1"]
        await serves(world, {"other": NODES})
        assert world.clock.monotonic_s() > told_s[0] + world.longest_command_s

    played(tmp_path, story)


@pytest.mark.parametrize("verb", ["power:on", "power:reset", "power:soft"])
def test_a_node_stays_while_its_device_may_do_what_an_operator_had_it_told(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that fails, and one that nobody sees the end of."""

    async def story(world: FakeWorld) -> None:
        await world.die()
        world.longest_command_s = 100.0
        world.start("host")
        await serves(world, {"host": NODES})
        world.start("other")
        await world.change_host("other", draining=True)
        await serves(world, {"host": NODES})
        told_s = told_to(world, monkeypatch, RefusesThen if verb == "power:on" else Noting)
        command = NodeRequest(
            id="r", node_id="node-1", verb=verb, created_at=records.NOW, updated_at=records.NOW
        )
        await world.store.transact(lambda tx: (tx.insert(command), tx.notify("requests")))

        async def answered() -> bool:
            found = await world.store.transact(lambda tx: tx.get(NodeRequest, "r"))
            return found is not None and found.state is not RequestState.PENDING

        await world.until("it is answered", answered)
        await world.change_host("host", draining=True)
        await world.change_host("other", draining=False)
        await serves(world, {"other": NODES})
        assert world.clock.monotonic_s() > told_s[-1] + world.longest_command_s

    played(tmp_path, story)


@pytest.mark.parametrize("alone", [True, False])
def test_an_operator_s_command_holds_up_no_host_that_is_to_end(tmp_path: Path, *, alone: bool) -> None:
    """What wasn't answered is done again by the node's next owner, or by this host once it is back."""

    async def story(world: FakeWorld) -> None:
        told = NeverAnswers.told = asyncio.Event()
        world.silent.add("n1")
        command = NodeRequest(
            id="r", node_id="node-1", verb="power:on", created_at=records.NOW, updated_at=records.NOW
        )
        await world.store.transact(lambda tx: (tx.insert(command), tx.notify("requests")))
        await told.wait()
        if not alone:
            world.start("other")
        world.hosts["host"].leave()
        await world.ends("host")
        assert (await row(world, "host")).released, "its lease was kept until then"
        world.silent.clear()
        if alone:
            world.start("host")

        async def done() -> bool:
            found = await world.store.transact(lambda tx: tx.get(NodeRequest, "r"))
            return found is not None and found.state is RequestState.DONE

        await world.until("it is done", done)

    played(tmp_path, story)

"""What a node's power device has to say, that the node is enrolled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from provisioner.core.errors import ProvisionerError, WrongCredentials
from provisioner.core.model import Node, Work
from provisioner.core.outlets import OutletState, Seen
from provisioner.core.states import PowerState, ProvisionState
from provisioner.drivers.fake import FakePower
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, no_answer
from provisioner.protocols.power import PowerControl
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld

ON, OFF, PENDING = Seen(OutletState.ON), Seen(OutletState.OFF), Seen(OutletState.PENDING)
NO_WORD = Seen(OutletState.UNKNOWN, "7")


class Unclear(FakePower):
    """Neither on nor off."""

    async def power_state(self) -> PowerState:
        return PowerState.UNKNOWN


class Outlets(Unclear):
    discharge_s = 0.0
    seen: Mapping[str, Seen] = {}

    def last_seen(self) -> Mapping[str, Seen]:
        return self.seen


def enrolled(tmp_path: Path, kind: type[FakePower]) -> tuple[Node, str]:
    """A node with such a power device when its enrolment has ended, and what is told of it."""

    async def story() -> tuple[Node, str]:
        world = FakeWorld(tmp_path)

        def power(name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
            return kind(world.rack, name)

        world.rack.power = power  # type: ignore[method-assign]
        work = Work(id="work-1", plan="enrol", step="verify_power", entered_at=records.NOW)
        await world.fill(state=ProvisionState.ENROLLING, work=work)
        world.start()

        async def ended() -> bool:
            return (await world.node()).state is not ProvisionState.ENROLLING

        try:
            await world.until("its enrolment has ended", ended)
            return await world.node(), " ".join(event.text for event in await world.events())
        finally:
            await world.die()

    return asyncio.run(story())


@pytest.mark.parametrize("others", [{}, {"outlet 1": ON}, {"outlet 1": PENDING}])
def test_a_node_on_an_outlet_whose_state_nobody_understands_is_not_available(
    tmp_path: Path, others: dict[str, Seen]
) -> None:
    """Each deploy would fail by it: it may be no outlet at all."""
    kind = type("Kind", (Outlets,), {"seen": {**others, "outlet 9": NO_WORD}})
    node, said = enrolled(tmp_path, kind)
    assert node.state is ProvisionState.ENROL_FAILED
    assert "outlet 9 unknown (7)" in said
    assert "outlet 1" not in said, "that one is understood"


@pytest.mark.parametrize("seen", [{"outlet 1": PENDING}, {"outlet 1": ON, "outlet 2": OFF}])
def test_outlets_on_their_way_or_half_off_are_understood(tmp_path: Path, seen: dict[str, Seen]) -> None:
    node, _ = enrolled(tmp_path, type("Kind", (Outlets,), {"seen": seen}))
    assert node.state is ProvisionState.AVAILABLE


def test_a_bmc_that_does_not_know_for_now_has_accepted_the_credentials(tmp_path: Path) -> None:
    assert enrolled(tmp_path, Unclear)[0].state is ProvisionState.AVAILABLE


def test_an_outlet_that_is_understood_a_moment_later_is_enrolled(tmp_path: Path) -> None:
    class Recovers(Outlets):
        looks = 0

        def last_seen(self) -> Mapping[str, Seen]:
            Recovers.looks += 1
            return {"outlet 1": NO_WORD if Recovers.looks == 1 else OFF}

    assert enrolled(tmp_path, Recovers)[0].state is ProvisionState.AVAILABLE


READ = "read the outlets"
PDU = Agent("PDU 10.78.0.201", "10.78.0.201", 161)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            no_answer(READ, PDU, Credentials(community="not-the-right-one"), 4.0),
            "check the community: a wrong one is not answered at all",
        ),
        (
            no_answer(READ, PDU, Credentials(version="3", user="power", priv_key="not-the-right-one"), 4.0),
            "check priv_key and priv_protocol: what can't be decrypted may not be answered at all",
        ),
        (
            WrongCredentials(READ, device=PDU.name, answer="Wrong SNMP PDU digest", advice="Check auth_key"),
            "Check auth_key",
        ),
    ],
    ids=["community", "priv_key", "auth_key"],
)
def test_a_wrong_community_or_key_fails_the_enrolment_in_the_drivers_words(
    tmp_path: Path, error: ProvisionerError, words: str
) -> None:
    class Wrong(FakePower):
        async def power_state(self) -> PowerState:
            raise type(error)(error.tried, device=error.device, answer=error.answer, advice=error.advice)

    node, said = enrolled(tmp_path, Wrong)
    assert node.state is ProvisionState.ENROL_FAILED
    assert node.failure is not None
    assert (node.failure.code, node.failure.step) == (error.code, "verify_power")
    for told in (node.failure.message, said):
        assert error.answer in told
        assert words in told
        assert "not-the-right-one" not in told

"""By SNMP version 3 a PDU tells what a message lacked, its engine's ID or its time, and the message is sent
once more: not for somebody who has given up, nor when its time has passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from provisioner.core import pdu_pace
from provisioner.core.errors import DeviceBusy, DeviceUnreachable
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import PysnmpMessages
from provisioner.protocols.power import PowerControl, PowerVerb
from tests.contract.drivers.pdu import KEYS, V3, Pdu, running_pdu

pytestmark = pytest.mark.wire
DEADLINE_S = 120.0
MESSAGE_S = 40.0
"""How long an answer is waited for here: on a busy machine, too, what comes at once comes in time."""


class Loop(asyncio.SelectorEventLoop):
    """ahead_s: what its clock has been put forward by."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class End(asyncio.DatagramProtocol):
    def __init__(self, hears: Callable[[bytes, Any], None]) -> None:
        self.datagram_received = hears


class Relay:
    """Stands between a PDU and who asks it, and holds the PDU's answers back."""

    def __init__(self) -> None:
        self.port = 0
        self._held: asyncio.Queue[bytes] | None = None

    @asynccontextmanager
    async def leading_to(self, port: int) -> AsyncIterator[Relay]:
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(
            lambda: End(self._asked), local_addr=("127.0.0.1", 0)
        )
        self._far, _ = await loop.create_datagram_endpoint(
            lambda: End(self._told), remote_addr=("127.0.0.1", port)
        )
        self.port = self._near.get_extra_info("sockname")[1]
        try:
            yield self
        finally:
            self._near.close()
            self._far.close()

    def hold(self) -> asyncio.Queue[bytes]:
        self._held = asyncio.Queue()
        return self._held

    def let_go(self, answer: bytes) -> None:
        self._held = None
        self._near.sendto(answer, self._asker)

    def _asked(self, message: bytes, asker: Any) -> None:
        self._asker = asker
        self._far.sendto(message)

    def _told(self, answer: bytes, _: Any) -> None:
        if self._held is not None:
            self._held.put_nowait(answer)
        else:
            self._near.sendto(answer, self._asker)


Story = Callable[[Loop, Relay, PowerControl], Awaitable[None]]


@pytest.fixture
def pdu(tmp_path: Path) -> Iterator[Pdu]:
    with running_pdu(tmp_path) as pdu:
        yield pdu


@pytest.fixture
def play(pdu: Pdu, monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], None]:
    monkeypatch.setattr(pdu_pace, "MESSAGE_S", MESSAGE_S)
    monkeypatch.setattr(pdu_pace, "LONGEST_ANSWER_S", MESSAGE_S)

    async def bounded(story: Story) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        messages = PysnmpMessages()
        devices = SnmpDevices(messages, discharge_s=1, timeout_s=2 * MESSAGE_S, chance=lambda: 0.0)
        async with asyncio.timeout(DEADLINE_S), Relay().leading_to(pdu.port) as relay:
            address = {**pdu.address, **V3, "port": relay.port, "outlets": [1]}
            await story(loop, relay, devices("n1", address, KEYS))
        messages.close()

    def play(story: Story) -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(bounded(story))

    return play


async def under_way(
    pdu: Pdu, relay: Relay, control: PowerControl, known: bool
) -> tuple[asyncio.Future[None], bytes]:
    """A command to switch off, and the report on its message, which is held back."""
    if known:
        assert await control.power_state() is PowerState.ON
        pdu.kill()
        pdu.start()
    held = relay.hold()
    return asyncio.ensure_future(control.set_power(PowerVerb.OFF)), await held.get()


async def stays_on(control: PowerControl) -> None:
    for _ in range(2):  # the second time after whatever came of the report
        assert await control.power_state() is PowerState.ON


LACKED = pytest.mark.parametrize("known", [False, True], ids=["its engine's ID", "its time"])


@LACKED
def test_a_command_that_is_cancelled_is_not_sent_on_when_the_pdu_tells(
    pdu: Pdu, play: Callable[[Story], None], known: bool
) -> None:
    async def story(loop: Loop, relay: Relay, control: PowerControl) -> None:
        asked, report = await under_way(pdu, relay, control, known)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        relay.let_go(report)
        await stays_on(control)

    play(story)
    assert pdu.fed(1)


@LACKED
def test_a_command_is_not_sent_on_when_the_pdu_tells_too_late(
    pdu: Pdu, play: Callable[[Story], None], known: bool
) -> None:
    """It would be done when the call has ended, by a host that may have lost its lease."""

    async def story(loop: Loop, relay: Relay, control: PowerControl) -> None:
        asked, report = await under_way(pdu, relay, control, known)
        loop.ahead_s += 0.6 * MESSAGE_S  # and as long again for an answer
        relay.let_go(report)
        with pytest.raises(DeviceBusy, match=r"told its engine's ID or time.*raise power\.snmp_timeout_s"):
            await asked
        await stays_on(control)
        while pdu.fed(1):  # it is known by now
            with suppress(DeviceUnreachable, DeviceBusy):
                await control.set_power(PowerVerb.OFF)

    play(story)
